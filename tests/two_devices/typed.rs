//! A person types, and the client is killed at any moment: what it had taken is sent after all, each line once.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sealwire_protocol::Username;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::{Server, Terminal, profiles};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::device::{Device, until_sent};

/// How many lines are typed at a time.
const LINES: usize = 5;
/// A command takes about so long to its end on an idle machine. Only when the blow falls hangs on it.
const COMMAND: Duration = Duration::from_millis(1_500);

/// How often the client is killed: 20 times, with `SEALWIRE_LONG=1` 300 times.
fn kills() -> usize {
    if env::var("SEALWIRE_LONG").is_ok_and(|long| long == "1") { 300 } else { 20 }
}

/// When the client is killed.
#[derive(Debug)]
enum Blow {
    /// So long after it was started.
    After(Duration),
    /// When it has told of so many lines.
    Told(usize),
}

/// Types lines, and kills the client; gives how many lines it has told of until then.
async fn type_and_kill(terminal: &Terminal, lines: &[String], blow: Blow) -> usize {
    let mut command = terminal.command(&["--profile", "alice", "send", "bob", "-", "--lines"]);
    let mut child = command.stderr(Stdio::null()).spawn().expect("sealwire-chat runs");
    let mut input = child.stdin.take().expect("it is piped");
    // What is typed is there at once; it fits into the pipe.
    input.write_all(lines.join("\n").as_bytes()).await.expect("the pipe takes it");
    drop(input);
    let mut printed = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut told = 0;
    match blow {
        Blow::After(time) => tokio::time::sleep(time).await,
        Blow::Told(lines) => {
            while told < lines && printed.next_line().await.expect("it prints text").is_some() {
                told += 1;
            }
        }
    }
    child.kill().await.expect("it can be killed");
    // What it had printed before counts too.
    while printed.next_line().await.expect("it prints text").is_some() {
        told += 1;
    }
    told
}

/// The texts that Alice's profile holds for Bob, in order.
async fn kept(terminal: &Terminal) -> Vec<String> {
    let path = terminal.home().join("alice");
    let read = move || {
        let bob: Username = "bob".parse().expect("a name");
        let history = profiles::open(&path).history(&bob, None, 100_000).expect("the profile is sound");
        history.into_iter().map(|entry| entry.text.expect("a text")).collect()
    };
    tokio::task::spawn_blocking(read).await.expect("reading does not panic")
}

mod heavy {
    use super::*;

    #[tokio::test]
    async fn nothing_that_was_typed_is_lost_or_sent_twice_though_the_client_is_killed() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut choice = StdRng::seed_from_u64(seed);
        let server = Server::with(NO_LIMITS).start().await;
        let terminal = Terminal::new(&server);
        terminal.register("alice").await;
        terminal.register("bob").await;
        let bob = Device::of_profile(&server, terminal.home().join("bob"));
        let (mut before, mut untold): (Vec<String>, usize) = (Vec::new(), 0);
        for kill in 0..kills() {
            let lines: Vec<String> = (0..LINES).map(|n| format!("line {n} of time {kill}")).collect();
            let blow = match choice.random_range(0..2) {
                0 => Blow::After(COMMAND.mul_f64(choice.random_range(0.0..1.0))),
                _ => Blow::Told(choice.random_range(0..=LINES)),
            };
            let what = format!("{blow:?}, time {kill}, seed {seed}");
            let told = type_and_kill(&terminal, &lines, blow).await;
            // All lines or none were taken, and none that was taken before is gone.
            let after = kept(&terminal).await;
            let with_these = [before.as_slice(), &lines].concat();
            assert!(after == with_these || (after == before && told == 0), "{what}: {told} told, {after:?}");
            untold += (after.len() - before.len()).saturating_sub(told);
            before = after;
        }
        println!("{} lines taken, {untold} of them without a word before the blow, seed {seed}", before.len());
        assert!(before.len() >= LINES, "some were taken before the client was killed, seed {seed}");
        // The next start sends what is left. The last line goes behind all of it.
        let alice = Device::of_profile(&server, terminal.home().join("alice"));
        let last = until_sent(vec![alice.say("bob", "good night").await]).await;
        bob.has(&last).await;
        let texts = |said: Vec<crate::device::Said>| said.into_iter().filter_map(|said| said.text).collect::<Vec<_>>();
        before.push("good night".to_owned());
        assert_eq!(texts(alice.history("bob").await), before, "seed {seed}");
        assert_eq!(texts(bob.history("alice").await), before, "seed {seed}");
    }
}
