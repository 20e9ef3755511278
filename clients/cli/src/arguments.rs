//! What may be typed.

mod conversations;
mod enrol;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sealwire_client::Server;
use sealwire_protocol::Username;

pub(crate) use conversations::{Contacts, Decision, Export, History, Import, Passphrase, Whom};
pub(crate) use enrol::{
    DeleteAccount, Devices, DevicesAction, DevicesLink, DevicesRemove, Link, Recover, RecoveryCode, Register,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the profile, this machine, or an account that does not exist yet
  2  the command line is wrong
  3  the server cannot be reached
  4  the server refused
  5  not done in time; a message that was to be sent stays in the outbox and goes out
     with the next command that connects
  6  security warning: keys are not what they were, or the server is not the one that was dialled";

/// Talk over a Sealwire server, end to end encrypted.
#[derive(Debug, Parser)]
#[command(name = "sealwire-chat", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// The server: `wss://HOST[:PORT]`, or `ws://` on this machine. Remembered by `register`.
    #[arg(long, global = true, env = "SEALWIRE_SERVER", value_name = "URL")]
    pub(crate) server: Option<Server>,

    /// The directory with keys and messages; one for each account [default: ~/.local/share/sealwire/default].
    #[arg(long, global = true, env = "SEALWIRE_PROFILE", value_name = "DIR")]
    pub(crate) profile: Option<PathBuf>,

    /// A file whose first line is the profile's passphrase; nobody else may be able to read it. Without one, the system's
    /// keyring is used where there is one, else the passphrase is asked for.
    #[arg(long, global = true, env = "SEALWIRE_PASSPHRASE_FILE", value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// For scripts: one JSON object per line on standard output. More fields may come; none changes its meaning.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account: three RSA-4096 keys, a name on the server, and a recovery code.
    ///
    /// With --json: name, device, server.
    Register(Register),
    /// Make this machine another device of your account: enter the code that it shows on a device that the account has.
    ///
    /// With --json: code; when it has been entered there: name, device.
    Link(Link),
    /// List the account's devices, let a new one in, or remove some.
    ///
    /// With --json: device, addedAt and certifiedUntil (milliseconds since 1970, or null), this (whether it is this one).
    Devices(Devices),
    /// Bring an account back on this machine by its recovery code, when all its devices are lost.
    ///
    /// With --json: name, device, server, people (how many the backup knew).
    Recover(Recover),
    /// Make a new recovery code in place of the one before; or show the one again that was never confirmed.
    ///
    /// With --json: name, new (false: the one that was there before).
    RecoveryCode(RecoveryCode),
    /// Delete the account with everything that the server has of it, on all its devices, for ever.
    ///
    /// With --json: name, deleted.
    DeleteAccount(DeleteAccount),
    /// Send a message and print its first status: `delivered` or `queued`.
    ///
    /// With --json: to, messageId, status (`delivered`, `queued`, `expired` or `failed`), and reason when it failed.
    Send(Send),
    /// Print messages as they come.
    ///
    /// With --json: from, fromDevice, to, messageId, counter, timestamp (milliseconds since 1970), text (null when it is of
    /// a kind that this version does not know), fromRemovedDevice, request (a stranger's: neither written to nor accepted),
    /// muted.
    Listen(Listen),
    /// Let a program answer: it is run once for each message, and what it prints is sent back.
    ///
    /// The text comes on its standard input, with a line's end; who wrote it in SEALWIRE_FROM, and more in
    /// SEALWIRE_MESSAGE_ID, SEALWIRE_TIMESTAMP (milliseconds since 1970) and SEALWIRE_REQUEST (1: a stranger's, who is
    /// accepted by being answered). If it prints nothing, nothing is sent. If it fails, the message comes again at the next
    /// start. A message counts as shown once its answer lies in the outbox: each is answered at least once, and twice only
    /// if this process is killed between the two.
    ///
    /// With --json, for each message: from, messageId, timestamp, text, answer (or null), answerId (or null), failure (or
    /// null); and for the first status of each answer: answerId, status (`delivered`, `queued` or `expired`).
    Bot(Bot),
    /// Talk in full screen: all conversations, with what comes in as it comes. F1 shows the keys.
    ///
    /// It needs no mouse and no colours (NO_COLOR), and works over ssh. It is for people: with --json it is refused.
    Chat(Chat),
    /// Print the safety number of you and somebody, to compare with theirs by voice or in person.
    ///
    /// With --json: name, safetyNumber, newSafetyNumber (null, or by another key that the server shows now; the exit code
    /// is 6 then), fromServer (false: by the keys that were seen before), verified.
    Safety(Safety),
    /// Print what was said with somebody, or list all conversations. What is unread stays so; needs no server.
    ///
    /// With --json, a message: peer, from, own, fromDevice, messageId, timestamp (milliseconds since 1970), state
    /// (`received`, `waiting`, `queued`, `delivered`, `expired` or `failed`), text (null when it is of a kind that this
    /// version does not know), fromRemovedDevice. A conversation: the fields of `contacts`, unread, and last (a message,
    /// or null).
    History(History),
    /// List everybody who is known, or decide about one. Needs no server.
    ///
    /// With --json: name, verified, blocked, muted, request (a stranger's, neither written to nor accepted), changedKey
    /// (the server shows another identity key than is believed; nothing is sent).
    Contacts(Contacts),
    /// Keep and show nothing of somebody's from now on, and send them nothing. They are not told.
    ///
    /// With --json: the fields of `contacts`.
    Block(Whom),
    /// Undo `block`. What came meanwhile is lost.
    ///
    /// With --json: the fields of `contacts`.
    Unblock(Whom),
    /// Write all conversations into a new file, NOT encrypted: one JSON object a line.
    ///
    /// With --json: file, messages (how many). With `-` the history itself is all that is printed.
    Export(Export),
    /// Take over a history that `export` wrote, all of it or nothing.
    ///
    /// With --json: added, known (messages that were there already).
    Import(Import),
    /// Change the passphrase of the profile, or let the system's keyring keep its key.
    ///
    /// With --json: profile, lockedBy (`passphrase` or `keyring`).
    Passphrase(Passphrase),
    /// Say step by step what is wrong with the profile or the connection, and how to mend it.
    ///
    /// It logs in and sends nothing; mail stays where it is. The exit code is that of the worst step that failed.
    ///
    /// With --json, for each step: step (`profile`, `account`, `server`, `name`, `tcp`, `tls`, `upgrade`, `challenge`,
    /// `clock`, `login`, `mailbox`, `keys` or `outbox`), verdict (`ok`, `warning` or `failure`), said, advice (or null).
    Doctor(Doctor),
    /// Print who you are.
    ///
    /// With --json: name, device, identity (the identity key's hash), server, profile, outbox (messages not sent yet).
    Whoami,
    /// Print a script that completes this program's commands in your shell.
    ///
    /// For bash: sealwire-chat completions bash > ~/.local/share/bash-completion/completions/sealwire-chat
    Completions(Completions),
    /// Print the manual page, or write the pages of all commands into a directory.
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// To whom.
    #[arg(value_name = "NAME")]
    pub(crate) name: Username,

    /// What; `-` reads it from standard input.
    #[arg(value_name = "TEXT", required = true)]
    pub(crate) text: Vec<String>,

    /// With `-`: each line is a message of its own, and its status is printed on a line of its own.
    #[arg(long)]
    pub(crate) lines: bool,

    /// How long to wait for a status, in seconds; with --lines for the next one.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Listen {
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// End after so many seconds; with --count this is a failure (5).
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Bot {
    /// The program, and its arguments.
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,

    /// End after so many messages, once the server has the answers.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// How long the program may take for a message, in seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) patience: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// With whom to begin.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<Username>,
}

#[derive(Debug, Args)]
pub(crate) struct Safety {
    /// Whose.
    #[arg(value_name = "NAME")]
    pub(crate) name: Username,

    /// Ask whether the numbers are equal, and remember it: whenever the key changes later, nothing is sent until you decide.
    #[arg(long, group = "decision")]
    pub(crate) verify: bool,

    /// With --verify: do not ask, the numbers were compared and are equal.
    #[arg(long, requires = "verify")]
    pub(crate) yes: bool,

    /// Take back that the numbers were compared.
    #[arg(long, group = "decision")]
    pub(crate) unverify: bool,

    /// Believe another key that the server shows for NAME, once NAME has told you by some other way that it is theirs.
    #[arg(long, group = "decision")]
    pub(crate) accept_change: bool,

    /// How long to wait for the server, in seconds.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// How long to wait for each step, in seconds.
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where to write a page for each command; without it, the main page is printed.
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "not a number of seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_behind_the_command() {
        for line in [
            &["sealwire-chat", "--server", "ws://127.0.0.1:8080", "send", "bob", "hello", "there"][..],
            &["sealwire-chat", "send", "bob", "hello", "there", "--server", "ws://127.0.0.1:8080"][..],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.server.unwrap().origin(), "ws://127.0.0.1:8080");
        }
    }

    #[test]
    fn a_server_without_tls_elsewhere_is_a_wrong_command_line() {
        let line = ["sealwire-chat", "--server", "ws://chat.example.org", "whoami"];
        let error = Arguments::try_parse_from(line).unwrap_err();
        assert!(error.to_string().contains("wss://"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    /// Of these the output is no answer of the program's: scripts, pages, a screen.
    const NO_JSON: [&str; 3] = ["completions", "man", "chat"];

    #[test]
    fn the_help_of_every_command_names_the_fields_of_its_json() {
        for command in Arguments::command().get_subcommands().filter(|command| !NO_JSON.contains(&command.get_name())) {
            let help = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("With --json"), "{}", command.get_name());
        }
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        for code in 0..=6 {
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
