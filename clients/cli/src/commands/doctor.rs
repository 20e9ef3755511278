//! `doctor`: what is wrong, step by step, and how to mend it.

use std::time::{SystemTime, UNIX_EPOCH};

use sealwire_client::probe::{self, Finding, Verdict, probe};
use sealwire_client::profile::{DeviceKeys, ProfileError};
use sealwire_client::vault::LockedBy;
use sealwire_client::{Profile, Server};
use serde_json::json;

use super::print;
use crate::arguments::{Arguments, Doctor};
use crate::exit::{Code, Failure, code_of};
use crate::profile;
use crate::terminal::harmless;

/// What has been found so far.
struct Report {
    as_json: bool,
    /// Of the steps that failed, the highest exit code.
    worst: Option<Code>,
    /// Standard output is gone.
    unwritten: Option<Failure>,
}

pub(crate) async fn run(arguments: &Arguments, command: &Doctor) -> Result<(), Failure> {
    let mut report = Report { as_json: arguments.json, worst: None, unwritten: None };
    let profile = examine_profile(&mut report, arguments)?;
    let patient = profile.as_ref().and_then(|profile| keys_of(&mut report, profile));
    match server(arguments, profile.as_ref()) {
        Some(server) => {
            let who = patient.as_ref().map(|(account, keys)| (account, keys));
            probe(&server, who, command.timeout, &mut |finding| report.finding(&finding)).await;
        }
        None => {
            let words = "no server is known; name the --server";
            report.line("server", "failure", words, Some("it is wss://HOST, as its operator has told you"));
            report.failed(Code::Usage);
        }
    }
    if let Some(profile) = profile.as_ref().filter(|_| patient.is_some()) {
        report.finding(&probe::keys(profile, now())?);
        report.finding(&probe::outbox(profile)?);
    }
    report.end()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Opens the profile, if that is possible.
fn examine_profile(report: &mut Report, arguments: &Arguments) -> Result<Option<Profile>, Failure> {
    let directory = profile::directory(arguments)?;
    if !profile::is_there(&directory) {
        let said = format!("there is no profile in {}", directory.display());
        report.line("profile", "failure", &said, Some(profile::HOW_TO_BEGIN));
        report.failed(Code::Failed);
        return Ok(None);
    }
    match profile::open(arguments) {
        Ok(profile) => {
            let lock = match profile.locked_by() {
                LockedBy::Keyring => "the system's keyring",
                LockedBy::Passphrase => "a passphrase",
            };
            let said = format!("{} opens, and is locked by {lock}", directory.display());
            report.line("profile", "ok", &said, None);
            Ok(Some(profile))
        }
        Err(failure) => {
            // What it says holds how to go on.
            report.line("profile", "failure", &failure.to_string(), None);
            report.failed(Code::Failed);
            Ok(None)
        }
    }
}

/// Who can log in with the profile.
fn keys_of(report: &mut Report, profile: &Profile) -> Option<(sealwire_client::profile::Account, DeviceKeys)> {
    match profile.account().and_then(|account| Ok((account, profile.keys()?))) {
        Ok((account, keys)) => {
            report.line("account", "ok", &format!("{}, device {}", account.username, account.device), None);
            Some((account, keys))
        }
        Err(error) => {
            let advice = matches!(error, ProfileError::NoAccount).then_some(profile::HOW_TO_BEGIN);
            report.line("account", "failure", &error.to_string(), advice);
            report.failed(Code::Failed);
            None
        }
    }
}

fn server(arguments: &Arguments, profile: Option<&Profile>) -> Option<Server> {
    arguments.server.clone().or_else(|| profile?.account().ok()?.server.parse().ok())
}

impl Report {
    fn finding(&mut self, finding: &Finding) {
        let verdict = match &finding.verdict {
            Verdict::Fine => "ok",
            Verdict::Warning => "warning",
            Verdict::Failure(error) => {
                self.failed(code_of(error));
                "failure"
            }
        };
        self.line(finding.step.name(), verdict, &finding.said, finding.advice.as_deref());
    }

    fn line(&mut self, step: &str, verdict: &str, said: &str, advice: Option<&str>) {
        let object = json!({ "step": step, "verdict": verdict, "said": said, "advice": advice });
        let words = || {
            let advice = advice.map(|advice| format!("\n{:20}-> {}", "", harmless(advice))).unwrap_or_default();
            format!("{verdict:8}{step:12}{}{advice}", harmless(said))
        };
        if self.unwritten.is_none() {
            self.unwritten = print(self.as_json, &object, words).err();
        }
    }

    fn failed(&mut self, code: Code) {
        self.worst = Some(self.worst.map_or(code, |worst| if code as u8 > worst as u8 { code } else { worst }));
    }

    fn end(self) -> Result<(), Failure> {
        match (self.unwritten, self.worst) {
            (Some(unwritten), _) => Err(unwritten),
            (None, Some(code)) => Err(Failure::new(code, "something is to be mended; see above")),
            (None, None) => Ok(()),
        }
    }
}
