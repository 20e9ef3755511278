//! Screens as a person sees them.

use insta::assert_snapshot;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use sealwire_client::Event;
use sealwire_client::conversation::{EntryState, Standing};

use super::*;
use crate::chat::fixtures::*;
use crate::chat::state::{Dialog, Input, Search};

fn draw_at(app: &mut App, width: u16, height: u16) -> (String, Drawn) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    // Twice, as in life: what was drawn decides what comes next.
    for _ in 0..2 {
        let mut drawn = Drawn::default();
        terminal.draw(|frame| drawn = draw(frame, app)).unwrap();
        app.handle(Input::Drawn(drawn), 0);
    }
    let mut drawn = Drawn::default();
    terminal.draw(|frame| drawn = draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    ((0..height).map(line).collect::<Vec<_>>().join("\n"), drawn)
}

fn screen(app: &mut App, width: u16, height: u16) -> String {
    draw_at(app, width, height).0
}

/// Alice talks with bob; carol has written, a stranger too, dave is blocked.
fn busy() -> App {
    let mut app = app_with(vec![
        conversation_but("bob", |contact| contact.verified = true),
        conversation("carol", 2),
        conversation_but("eve", |contact| contact.standing = Standing::Request),
        conversation_but("dave", |contact| contact.blocked = true),
    ]);
    app.handle(Input::Client(Box::new(Event::Online)), 0);
    app.open(&name("bob"));
    app.handle(Input::Tick, 0);
    let mut queued = entry(9, "bob", "alice", "See you there.");
    queued.state = EntryState::Queued;
    app.handle(
        page(
            "bob",
            vec![
                entry(
                    1,
                    "bob",
                    "bob",
                    "Are you coming on Thursday? We meet at the old harbour, behind the fish market, at seven.",
                ),
                entry(3, "bob", "alice", "Yes! Two things:\n- who brings the tea?\n- is there room for one more?"),
                entry(4, "bob", "bob", "I do, and there is."),
                queued,
            ],
        ),
        0,
    );
    app.presence.insert(name("bob"), true);
    app.presence.insert(name("carol"), false);
    app.handle(Input::Paste("and I ".to_owned()), 0);
    app
}

/// The picture in the README is this one.
#[test]
fn the_picture_in_the_readme_is_what_is_drawn() {
    let readme = include_str!("../../../../../README.md");
    let section = readme.split("## Full screen").nth(1).expect("the README shows the full screen");
    let picture = section.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("a picture");
    assert_eq!(screen(&mut busy(), 76, 16), picture, "put the left one into README.md");
}

#[test]
fn side_by_side() {
    assert_snapshot!(screen(&mut busy(), 80, 20));
}

/// Whoever sees the usual prompt may switch off the machine: what was typed is there again.
#[test]
fn what_is_typed_is_shown_at_once_and_marked_until_it_is_on_the_disk() {
    let mut app = busy();
    for (ascii, sign) in [(false, "│… and I"), (true, "|. and I")] {
        app.look.ascii = ascii;
        app.is_kept = false;
        let waiting = screen(&mut app, 80, 20);
        assert!(waiting.contains(sign), "{waiting}");
        app.is_kept = true;
        let kept = screen(&mut app, 80, 20);
        assert!(kept.contains("> and I") && !kept.contains(sign), "{kept}");
    }
}

#[test]
fn in_a_narrow_window_one_half_at_a_time() {
    let mut app = busy();
    assert_snapshot!("narrow_conversation", screen(&mut app, 40, 14));
    app.focus = Focus::List;
    assert_snapshot!("narrow_list", screen(&mut app, 40, 14));
}

#[test]
fn in_the_smallest_window_one_can_still_read_and_write() {
    assert_snapshot!(screen(&mut busy(), 20, 6));
}

#[test]
fn a_window_that_is_too_small_says_so_and_shows_nothing() {
    let (words, drawn) = draw_at(&mut busy(), 19, 6);
    assert!(words.contains("Please make this"), "{words}");
    assert_eq!(drawn, Drawn::default());
    for (width, height) in [(1, 1), (5, 2), (200, 5), (0, 0)] {
        screen(&mut busy(), width, height);
    }
}

#[test]
fn every_size_can_be_drawn_with_everything_open() {
    for width in (20..90).step_by(7) {
        for height in (6..26).step_by(3) {
            let mut app = busy();
            app.handle(Input::Refused("a warning of some length, which goes on for more than one line".to_owned()), 0);
            app.handle(Input::Paste("many\nlines\nof\ninput\nand\nmore".to_owned()), 0);
            let dialogs =
                [None, Some(Dialog::Help), Some(Dialog::Person(name("bob"))), Some(Dialog::Search(Search::default()))];
            for dialog in dialogs {
                app.dialog = dialog;
                screen(&mut app, width, height);
            }
        }
    }
}

#[test]
fn a_terminal_that_knows_ascii_only_gets_nothing_else() {
    let mut app = busy();
    app.look.ascii = true;
    app.notices = vec!["größer".to_owned()];
    app.handle(page("bob", vec![entry(1, "bob", "bob", "grüße 👩\u{200d}🚀")]), 0);
    for dialog in [None, Some(Dialog::Help), Some(Dialog::Me), Some(Dialog::Person(name("bob")))] {
        app.dialog = dialog;
        let words = screen(&mut app, 80, 20);
        assert!(words.is_ascii(), "{words}");
    }
}

#[test]
fn without_colour_none_is_used_and_with_it_the_words_are_the_same() {
    let mut app = busy();
    app.notices = vec!["a warning".to_owned()];
    let coloured = |app: &App| {
        let mut terminal = Terminal::new(TestBackend::new(80, 20)).unwrap();
        terminal.draw(|frame| drop(draw(frame, app))).unwrap();
        let cells = terminal.backend().buffer().content().to_vec();
        let is_plain = |cell: &ratatui::buffer::Cell| {
            cell.fg == ratatui::style::Color::Reset && cell.bg == ratatui::style::Color::Reset
        };
        cells.iter().filter(|cell| !is_plain(cell)).count()
    };
    assert_eq!(coloured(&app), 0);
    let without = screen(&mut app, 80, 20);
    app.look.colour = true;
    assert!(coloured(&app) > 0);
    assert_eq!(screen(&mut app, 80, 20), without);
}

#[test]
fn a_peer_s_words_do_not_pass_for_somebody_else_s_and_do_not_steer() {
    let mut app = talking(vec![entry(1, "bob", "bob", "hi\n09:05 you: I owe you\u{1b}[2J\u{202e} 100\r")]);
    let words = screen(&mut app, 90, 12);
    assert!(words.lines().any(|line| line.trim_start_matches([' ', '│']).starts_with("09:05 you: I owe")), "{words}");
    assert!(!words.lines().any(|line| line.contains("│09:05 you:")), "it is indented:\n{words}");
    assert!(words.contains("\\u{1b}[2J\\u{202e}"), "{words}");
    assert!(!words.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{words:?}");
}

#[test]
fn ticks_say_how_far_a_message_has_come() {
    let states =
        [EntryState::Waiting, EntryState::Queued, EntryState::Delivered, EntryState::Expired, EntryState::Failed];
    let with = |(n, state): (i64, &EntryState)| {
        let mut entry = entry(n, "bob", "alice", "hi");
        entry.state = *state;
        entry
    };
    let mut app = talking((1..).zip(&states).map(with).collect());
    app.failures.insert(id(5), "nobody on this server is called bob".to_owned());
    assert_snapshot!("ticks", screen(&mut app, 70, 14));
    app.look.ascii = true;
    assert_snapshot!("ticks_in_ascii", screen(&mut app, 70, 14));
}

#[test]
fn without_a_connection_it_says_why_and_that_it_comes_back() {
    let mut app = busy();
    let lost = Event::Offline(sealwire_client::Error::Connect("the server cannot be reached".to_owned()));
    app.handle(Input::Client(Box::new(lost)), 0);
    let words = screen(&mut app, 90, 12);
    let title = words.lines().next().unwrap();
    assert!(title.contains("not connected, trying again by itself: the server cannot be reached"), "{title}");
}

#[test]
fn warnings_stand_on_top_until_they_are_seen() {
    let mut app = busy();
    let alarm = sealwire_client::Alarm::OtherManifest { from: name("bob"), of: name("carol") };
    app.handle(Input::Client(Box::new(Event::Alarm(alarm))), 0);
    app.handle(Input::Client(Box::new(Event::MailboxOverflow(3))), 0);
    assert_snapshot!(screen(&mut app, 70, 18));
}

#[test]
fn a_stranger_a_changed_key_and_a_blocked_person_stand_in_place_of_the_input() {
    let mut app = busy();
    for (peer, words) in [("eve", "[a] accept"), ("dave", "[u] unblock")] {
        app.open(&name(peer));
        let shown = screen(&mut app, 80, 14);
        assert!(shown.contains(words), "{shown}");
    }
    let mut app = talking(vec![]);
    app.conversations[0].contact.changed_key = true;
    let shown = screen(&mut app, 120, 14);
    assert!(shown.contains("KEY CHANGED") && shown.contains("nothing is sent until you decide"), "{shown}");
}

#[test]
fn dialogs() {
    let mut app = busy();
    let number = "12345 67890 12345 67890 12345 67890 12345 67890 12345 67890 12345 67890".to_owned();
    let mut search = Search::default();
    search.editor.insert("tea");
    search.found = Some((
        "tea".to_owned(),
        Some(vec![
            entry(3, "bob", "alice", "Yes! Two things:\n- who brings the tea?"),
            entry(1, "carol", "carol", "tea"),
        ]),
    ));
    for (called, dialog) in [
        ("help", Dialog::Help),
        ("search", Dialog::Search(search)),
        ("person", Dialog::Person(name("carol"))),
        ("safety", Dialog::Safety { peer: name("bob"), number: Some(Ok(number)) }),
        ("change", Dialog::Change(name("bob"))),
        ("me", Dialog::Me),
    ] {
        app.dialog = Some(dialog);
        assert_snapshot!(format!("dialog_{called}"), screen(&mut app, 80, 24));
    }
}

#[test]
fn seen_is_what_was_wholly_on_the_screen_of_the_half_that_has_the_keys() {
    let mut app = talking((1..=40).map(|n| entry(n, "bob", "bob", "words")).collect());
    let seen = |app: &mut App| draw_at(app, 80, 14).1.seen.map(|(_, position)| position);
    assert_eq!(seen(&mut app), Some(40));
    let up = |app: &mut App| {
        app.handle(Input::Key(crossterm::event::KeyEvent::from(crossterm::event::KeyCode::Up)), 0);
    };
    up(&mut app);
    assert_eq!(seen(&mut app), Some(39));
    app.focus = Focus::List;
    assert_eq!(seen(&mut app), None);
}
