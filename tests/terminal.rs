//! `sealwire-chat chat` in a real terminal: two people talk, each in a window of tmux, by keys, and what stands on their screens
//! is read.

#[path = "terminal/keys.rs"]
mod keys;
#[path = "terminal/window.rs"]
mod window;

use sealwire_tests::{Server, Terminal};
use tokio::process::Command;

use crate::window::{Tmux, Window};

/// `sealwire-chat` says so when it is used wrongly (`--help`).
const USAGE: i32 = 2;

/// Two people in front of their terminals; only one is awake at first.
struct World {
    server: Server,
    place: Terminal,
    tmux: Tmux,
}

impl World {
    async fn new() -> Self {
        Self::of(&["alice", "bob"]).await
    }

    async fn of(names: &[&str]) -> Self {
        let server = Server::start().await;
        let place = Terminal::new(&server);
        for name in names {
            place.register(name).await;
        }
        Self { server, place, tmux: Tmux::new() }
    }

    /// Opens a window with a shell, and begins `chat` in it.
    async fn chat(&self, name: &str, variables: &str, peer: &str) -> Window {
        let window = self.tmux.open(&self.place, name).await;
        window.line(&format!("{variables} sealwire-chat --profile {name} chat {peer}")).await;
        window.shows("● connected").await;
        window
    }
}

async fn first_words(world: &World, alice: &Window) -> Window {
    alice.keys(&["F3", "p"]).await;
    alice.escape("Others can see when you are online").await;
    alice.keys(&["C-n"]).await;
    alice.line("bob").await;
    alice.shows("Nothing was said yet").await;
    alice.line("Are you there?").await;
    alice.shows_line_ending("you: Are you there? ✓").await;
    alice.paste("one\ntwo\nthree").await;
    alice.shows_line_ending("  three").await;
    assert!(!alice.screen().await.contains("three ✓"), "a paste sends nothing by itself");
    alice.keys(&["Enter"]).await;
    alice.shows_line_ending("three ✓").await;

    // Without colours, which is asked for here, nothing is lost.
    let bob = world.chat("bob", "NO_COLOR=1", "").await;
    bob.shows("new (2)").await;
    alice.shows_line_ending("three ✓✓").await;
    alice.shows_line_ending("you: Are you there? ✓✓").await;
    bob
}

async fn a_request_is_answered(alice: &Window, bob: &Window) {
    bob.keys(&["Enter"]).await;
    bob.shows("[a] accept  [b] block  [i] ignore").await;
    bob.shows("alice: Are you there?").await;
    // What was on the screen is unread no more.
    bob.shows_no("(2)").await;
    bob.keys(&["a"]).await;
    bob.shows_no("[a] accept").await;
    bob.shows("alice, online").await;
    bob.keys(&["F3", "p"]).await;
    bob.escape("Others can see when you are online").await;
    alice.shows("bob, online").await;
    bob.text("Here I am").await;
    alice.shows("bob, is typing").await;
    bob.keys(&["Enter"]).await;
    alice.shows("bob: Here I am").await;
    bob.shows_line_ending("you: Here I am ✓✓").await;
}

async fn what_is_unread_is_counted_and_what_was_said_is_found(alice: &Window, bob: &Window) {
    alice.keys(&["Tab"]).await;
    bob.line("Look at this").await;
    alice.shows("(1)").await;
    alice.keys(&["Tab"]).await;
    alice.shows_no("(1)").await;

    alice.keys(&["C-f"]).await;
    alice.line("TWO").await;
    alice.shows("1 found").await;
    alice.keys(&["Enter"]).await;
    alice.shows_no("1 found").await;
    alice.shows("two").await;

    alice.resize(20, 6).await;
    alice.shows_line_ending("bob: Look at").await;
    alice.resize(12, 5).await;
    alice.shows("Please make").await;
    alice.resize(80, 24).await;
    alice.shows("bob: Here I am").await;
    alice.keys(&["F1"]).await;
    alice.escape("Keys (Esc closes)").await;
}

async fn the_server_is_killed_and_comes_back(world: &mut World, alice: &Window, bob: &Window) {
    world.server.kill().await;
    for window in [alice, bob] {
        window.shows("not connected, trying again by itself").await;
    }
    alice.shows("bob: Look at this").await;
    alice.line("While it was away").await;
    alice.shows_line_ending("you: While it was away …").await;
    world.server.restart().await;
    bob.shows("alice: While it was away").await;
    alice.shows_line_ending("you: While it was away ✓✓").await;
    alice.shows("● connected").await;
    alice.shows("bob: Look at this").await;
}

async fn what_was_typed_survives_a_kill(world: &World, alice: Window) -> Window {
    alice.text("not yet finished").await;
    alice.shows("> not yet finished").await;
    alice.kill_program("KILL").await;
    alice.close().await;
    let alice = world.chat("alice", "", "bob").await;
    alice.shows("> not yet finished").await;
    // So does what was said.
    for words in ["you: Are you there? ✓✓", "bob: Here I am", "bob: Look at this", "you: While it was away ✓✓"]
    {
        alice.shows(words).await;
    }
    alice.keys(&["C-u"]).await;
    alice.shows_no("not yet finished").await;
    alice
}

async fn a_person_is_verified_muted_and_blocked(alice: &Window, bob: &Window) {
    let mut numbers = Vec::new();
    for window in [alice, bob] {
        window.keys(&["F2", "v"]).await;
        window.shows("[y] yes  [n] no").await;
        numbers.push(window.digits().await);
    }
    assert_eq!(numbers[0], numbers[1], "both see one number");
    assert_eq!(numbers[0].len(), 60, "{numbers:?}");
    bob.keys(&["n"]).await;
    bob.escape("! The safety numbers of you and alice differ").await;
    alice.keys(&["y"]).await;
    alice.shows("bob, online, verified").await;
    for after in ["[m] unmute", "[m] mute: no bell"] {
        alice.keys(&["F2", "m"]).await;
        alice.escape(after).await;
        let is_muted = after.contains("unmute");
        alice.shows(if is_muted { "verified, muted" } else { "online, verified" }).await;
        assert_eq!(alice.screen().await.contains("muted"), is_muted);
    }

    bob.keys(&["F2", "b"]).await;
    bob.escape("[b] unblock").await;
    bob.shows("alice is blocked").await;
    alice.line("Do you hear me?").await;
    // That bob's device has it, its owner does not see; nor does alice see that she is blocked.
    alice.shows_line_ending("you: Do you hear me? ✓✓").await;
    bob.keys(&["u"]).await;
    bob.shows_no("is blocked").await;
    alice.line("And now?").await;
    bob.shows("alice: And now?").await;
    assert!(!bob.screen().await.contains("Do you hear me?"), "what came while she was blocked was not kept");
}

async fn the_terminal_is_given_back(alice: &Window, bob: &Window) {
    // The search for colours would find some: she has them.
    assert!(alice.has_colours().await && !bob.has_colours().await);
    alice.keys(&["C-q"]).await;
    alice.gives_the_prompt_back().await;
    bob.kill_program("TERM").await;
    bob.gives_the_prompt_back().await;
    let screen = bob.screen().await;
    assert!(screen.contains("sealwire-chat --profile bob"), "the screen of before is there again:\n{screen}");
}

mod heavy {
    use super::*;

    #[tokio::test]
    async fn two_people_talk_in_full_screen() {
        let mut world = World::new().await;
        let alice = world.chat("alice", "", "").await;
        alice.shows("Nobody here yet.").await;
        let bob = first_words(&world, &alice).await;
        a_request_is_answered(&alice, &bob).await;
        what_is_unread_is_counted_and_what_was_said_is_found(&alice, &bob).await;
        the_server_is_killed_and_comes_back(&mut world, &alice, &bob).await;
        let alice = what_was_typed_survives_a_kill(&world, alice).await;
        a_person_is_verified_muted_and_blocked(&alice, &bob).await;
        the_terminal_is_given_back(&alice, &bob).await;
    }
}

#[tokio::test]
async fn a_new_passphrase_is_asked_for_twice_and_not_shown() {
    const NEW: &str = "an other pass phrase";
    let world = World::of(&["alice"]).await;
    let window = world.tmux.open(&world.place, "alice").await;
    for (again, outcome) in [("a slip of the hand", "the two are not the same"), (NEW, "locked by the new passphrase")]
    {
        window.line("clear; sealwire-chat --profile alice passphrase").await;
        for (question, words) in [("A new passphrase for this profile", NEW), ("The same again", again)] {
            window.shows(question).await;
            window.hides_what_is_typed().await;
            window.text(words).await;
            window.keys(&["Enter"]).await;
        }
        window.shows(outcome).await;
        let screen = window.screen().await;
        assert!(!screen.contains(NEW) && !screen.contains("slip"), "{screen}");
        window.line("sealwire-chat --profile alice whoami; echo code $?").await;
        window.shows(if again == NEW { "code 1" } else { "code 0" }).await;
    }
    window.line("clear; env -u SEALWIRE_PASSPHRASE_FILE sealwire-chat --profile alice whoami; echo code $?").await;
    window.shows("Passphrase:").await;
    window.hides_what_is_typed().await;
    window.text(NEW).await;
    window.keys(&["Enter"]).await;
    window.shows("code 0").await;
}

#[tokio::test]
async fn a_terminal_that_cannot_be_drawn_on_is_refused_in_a_sentence() {
    let world = World::new().await;
    let (code, words) = world.place.fails("alice", &["chat"]).await;
    assert_eq!(code, Some(USAGE), "{words}");
    assert!(words.contains("needs a terminal"), "{words}");
    let window = world.tmux.open(&world.place, "alice").await;
    window.line("TERM=dumb sealwire-chat --profile alice chat; echo code $?").await;
    window.shows("cannot move its cursor").await;
    window.shows("code 2").await;
}
