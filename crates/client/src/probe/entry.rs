//! Challenge, clock and log-in, in words.

use std::time::Duration;

use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{Challenge, ServerFrame};
use tokio::time::timeout;

use super::{Finding, Step};
use crate::clock::Correction;
use crate::connection::Connection;
use crate::enrol::visit::{Visit, Who};
use crate::error::Error;
use crate::handshake::ChallengeError;
use crate::profile::{Account, DeviceKeys};
use crate::server::Server;
use crate::time::wall_clock;

/// From which difference on a clock is called wrong, in milliseconds.
const WRONG: u64 = 30_000;

/// Looks at the challenge, and logs in where there is an account.
pub(super) async fn entered(
    server: &Server,
    mut connection: Connection,
    who: Option<(&Account, &DeviceKeys)>,
    patience: Duration,
    found: &mut dyn FnMut(Finding),
) -> Result<(), Box<Finding>> {
    let challenge = challenge(&mut connection, patience).await?;
    let (local, server_time) = (wall_clock(), challenge.server_time);
    let visit = Visit::begin(server, connection, challenge.clone(), patience);
    let mut visit = visit.map_err(|error| Box::new(refused_challenge(server, &challenge, error)))?;
    found(Finding::fine(Step::Challenge, format!("the server knows itself as {server}")));
    found(clock(server_time, local));
    if let Some((account, keys)) = who {
        let entry = visit.log_in(Who { username: &account.username, device: &account.device, dsk: &keys.dsk }).await;
        let session = entry.map_err(not_let_in)?;
        found(Finding::fine(Step::LogIn, format!("logged in as {}", account.username)));
        let waiting = match session.queued {
            0 => "no mail waits for this device".to_owned(),
            n => format!("{n} messages wait for this device; `listen` and `chat` fetch them"),
        };
        found(Finding::fine(Step::Mailbox, waiting));
    }
    visit.close().await;
    Ok(())
}

async fn challenge(connection: &mut Connection, patience: Duration) -> Result<Challenge, Box<Finding>> {
    let failed = |error| {
        let advice = "another program may answer there, or the server is stuck: check host and port with the operator";
        Box::new(Finding::failure(Step::Challenge, error, advice))
    };
    match timeout(patience, connection.next()).await {
        Ok(Ok(text)) => match serde_json::from_str(&text) {
            Ok(ServerFrame::Challenge(challenge)) => Ok(challenge),
            _ => Err(failed(Error::Closed("the server began with something that is no challenge".to_owned()))),
        },
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(failed(Error::Connect("the server takes the connection and says nothing".to_owned()))),
    }
}

fn refused_challenge(server: &Server, challenge: &Challenge, error: ChallengeError) -> Finding {
    let theirs: String = challenge.origin.chars().take(100).collect();
    let mut finding = Finding::failure(Step::Challenge, error.into(), "");
    finding.advice = Some(match error {
        ChallengeError::Origin => {
            finding.said = format!("{}: it says {theirs}, and you have dialled {server}", finding.said);
            "if the operator confirms that name, dial it, or let the operator add yours to `server.origins`; if not, somebody \
             may be passing the connection on: do not go on"
                .to_owned()
        }
        ChallengeError::Version => {
            "use a newer version of this program, or ask the operator for one of the server".to_owned()
        }
        ChallengeError::Channel => "do not go on; tell the operator".to_owned(),
    });
    finding
}

fn clock(server_time: u64, local: u64) -> Finding {
    let mut correction = Correction::default();
    correction.observe(server_time, local);
    let off = correction.behind();
    if off.unsigned_abs() < WRONG {
        return Finding::fine(Step::Clock, "this machine's clock agrees with the server's");
    }
    let side = if off > 0 { "behind" } else { "ahead of" };
    let said = format!("this machine's clock is {} {side} the server's", span(off.unsigned_abs()));
    let advice = "messages go by the server's clock and are sent all the same; let this machine set its clock by the network \
                  (on Linux: timedatectl set-ntp true). If yours is right, tell the operator";
    Finding::warning(Step::Clock, said, advice)
}

/// A span in its two largest units.
fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

fn not_let_in(error: Error) -> Box<Finding> {
    let advice = advice(&error);
    Box::new(Finding::failure(Step::LogIn, error, advice))
}

fn advice(error: &Error) -> &'static str {
    match error {
        Error::Refused { code: ErrorCode::AuthFailed, .. } => {
            "the server does not know this device: was it removed by another one, the account deleted, or is this another \
             server? What is stored here can still be exported; with a device left link this machine anew, without one recover \
             the account by its recovery code, each in a new --profile"
        }
        Error::Refused { code: ErrorCode::Banned, .. } => "speak to the operator",
        Error::Refused { .. } => "show this to the operator",
        Error::Busy(_) => "wait for as long as it says, then try again",
        _ => "try again in a moment; if that does not help, show this to the operator",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_a_warning_with_the_difference_in_words() {
        for (server, local, words) in [
            (1_000_000, 1_031_000, "31 s ahead of"),
            (1_000_000, 800_000, "3 min 20 s behind"),
            (100_000_000, 0, "1 d 3 h behind"),
            (7_200_000, 0, "2 h 0 min behind"),
        ] {
            let finding = clock(server, local);
            assert!(matches!(finding.verdict, Verdict::Warning), "{finding:?}");
            assert!(finding.said.contains(words), "{finding:?}");
        }
        assert!(matches!(clock(1_000_000, 1_029_000).verdict, Verdict::Fine));
    }
}
