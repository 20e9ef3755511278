//! The commands of `sealwire-chat` beside sending and listening: what they print, with and without `--json`, and what they
//! leave on disk.

#[path = "commands/bot.rs"]
mod bot;
#[path = "commands/doctor.rs"]
mod doctor;
#[path = "commands/json.rs"]
mod json;
#[path = "commands/people.rs"]
mod people;
#[path = "commands/safety.rs"]
mod safety;

use serde_json::Value;

/// The names of an object's fields, in alphabetical order.
fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
