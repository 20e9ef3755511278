//! `link`: this machine becomes another device of an account.

use std::cell::RefCell;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use sealwire_client::enrol::link::{Step, link};
use serde_json::json;

use super::{print, unwritten};
use crate::arguments::{Arguments, Link};
use crate::exit::{Code, Failure};
use crate::profile;
use crate::progress::Shown;
use crate::terminal::{complain, say, somebody_watches};

pub(crate) async fn run(arguments: &Arguments, command: &Link) -> Result<(), Failure> {
    let usage = || Failure::new(Code::Usage, "to link this device, name the --server of the account");
    let server = arguments.server.as_ref().ok_or_else(usage)?;
    let mut profile = profile::open(arguments)?;
    let default = || format!("sealwire-chat on {}", std::env::consts::OS);
    let name = command.device_name.clone().unwrap_or_else(default);
    let shown = Shown::new();
    let unsaid = RefCell::new(None);
    let tell = |step: Step<'_>| match step {
        Step::Progress(progress) => shown.step(progress),
        Step::Code(code) => {
            shown.clear();
            let code = code.to_string();
            explain(&code);
            let line = if arguments.json { json!({ "code": code }).to_string() } else { code };
            *unsaid.borrow_mut() = say(&line).err();
        }
        Step::LetIn => {
            shown.clear();
            complain("the other device has let this one in");
        }
    };
    let outcome = shown.until(link(&mut profile, server, &name, command.timeout, tell)).await;
    if let Some(error) = unsaid.take() {
        return Err(unwritten(error));
    }
    outcome.map_err(|error| {
        let again = "type the same again: it goes on where it ended, or shows a new code";
        if error.is_passing() { Failure::from(error).and(again) } else { error.into() }
    })?;
    let account = profile.account()?;
    let object = json!({ "name": account.username, "device": account.device });
    print(arguments.json, &object, || format!("linked: this is a device of {} now", account.username))
}

/// What to do with the code; to a person also as a picture, for a telephone to read.
fn explain(code: &str) {
    complain(
        "On a device that the account has, type: sealwire-chat devices link\nand enter this code there, within ten \
         minutes. Whoever has it in that time can hand you an account of theirs: read it to nobody.",
    );
    if somebody_watches()
        && let Some(picture) = picture(code)
    {
        // The lines hold blocks and spaces only; what cannot be drawn can be typed.
        picture.lines().for_each(complain);
    }
}

fn picture(code: &str) -> Option<String> {
    let qr = QrCode::with_error_correction_level(code.replace('-', ""), EcLevel::L).ok()?;
    Some(qr.render::<Dense1x2>().quiet_zone(true).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_fits_a_terminal() {
        let picture = picture("01AB2-CDE3F-GHJ4K-MNP5Q-RST6V-Z").unwrap();
        assert!(picture.lines().count() <= 20 && picture.lines().all(|line| line.chars().count() <= 40), "\n{picture}");
        assert!(picture.chars().all(|c| matches!(c, ' ' | '\n' | '\u{2580}' | '\u{2584}' | '\u{2588}')));
    }
}
