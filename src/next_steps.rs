//! What is printed on standard output once the server listens: first a line for programs, then a few for people.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::Path,
};

use crate::config::Config;

/// Prints both. Nobody has to read them, so a closed pipe is no fault.
pub(crate) fn print(config: &Config, address: SocketAddr) {
    let text = format!("listening on ws://{address}/ws\n{}", conversation(&dialled(config, address), &chat_program()));
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The origin to type: the first configured one, else the address itself; an address of all interfaces is dialled as
/// localhost, the one name of it that is answered.
fn dialled(config: &Config, address: SocketAddr) -> String {
    match config.server.origins.first() {
        Some(origin) => origin.to_string(),
        None if address.ip().is_unspecified() => format!("ws://localhost:{}", address.port()),
        None => format!("ws://{address}"),
    }
}

/// The client beside this binary, when one has been built, as it can be typed.
fn chat_program() -> String {
    const NAME: &str = "sealwire-chat";
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(NAME)).filter(|path| path.exists());
    let here = std::env::current_dir().unwrap_or_default();
    beside.map_or_else(|| NAME.to_owned(), |path| path.strip_prefix(&here).unwrap_or(&path).display().to_string())
}

/// Where the client comes from, when none lies beside this binary.
fn how_to_build(program: &str) -> &'static str {
    if program.contains('/') { "" } else { " (`make build` makes the client, target/release/sealwire-chat)" }
}

/// A first conversation to copy.
fn conversation(server: &str, program: &str) -> String {
    let alice = format!("{program} --server {server} --profile {}", profile("alice"));
    let bob = format!("{program} --server {server} --profile {}", profile("bob"));
    let build = how_to_build(program);
    format!(
        "
Sealwire is running; Ctrl-C ends it. A first conversation, in a second terminal{build}:

  {alice} register alice
  {bob} register bob
  {alice} send bob \"Hello, Bob\"
  {bob} listen --count 1

"
    )
}

fn profile(name: &str) -> String {
    Path::new("~/.sealwire").join(name).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::setting::{Setting, Value};

    fn address(text: &str) -> SocketAddr {
        text.parse().expect(text)
    }

    #[test]
    fn what_to_type_names_an_origin_that_is_answered() {
        let mut config = Config::default();
        assert_eq!(dialled(&config, address("127.0.0.1:8080")), "ws://127.0.0.1:8080");
        assert_eq!(dialled(&config, address("[::1]:8080")), "ws://[::1]:8080");
        assert_eq!(dialled(&config, address("0.0.0.0:8080")), "ws://localhost:8080");
        config.server.origins.set(&Value::Text("wss://chat.example.org")).expect("an origin");
        assert_eq!(dialled(&config, address("0.0.0.0:8080")), "wss://chat.example.org");
    }

    #[test]
    fn who_has_no_client_yet_is_told_how_to_get_one() {
        assert!(conversation("ws://127.0.0.1:8080", "sealwire-chat").contains("`make build`"));
        assert!(!conversation("ws://127.0.0.1:8080", "target/release/sealwire-chat").contains("`make build`"));
    }

    #[test]
    fn the_conversation_can_be_pasted_line_by_line() {
        let text = conversation("ws://127.0.0.1:8080", "target/release/sealwire-chat");
        let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert_eq!(commands.len(), 4);
        assert_eq!(
            commands[0],
            "target/release/sealwire-chat --server ws://127.0.0.1:8080 --profile ~/.sealwire/alice register alice"
        );
    }
}
