//! Every key and every event, without a terminal and without a server.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use sealwire_client::conversation::{EntryState, Standing};
use sealwire_client::{Alarm, Error};
use sealwire_protocol::frames::Status;

use super::*;
use crate::chat::fixtures::*;

mod keys;

fn press(app: &mut App, code: KeyCode, modifiers: KeyModifiers) -> Vec<Action> {
    app.handle(Input::Key(KeyEvent::new(code, modifiers)), 0)
}

fn key(app: &mut App, code: KeyCode) -> Vec<Action> {
    press(app, code, KeyModifiers::NONE)
}

fn control(app: &mut App, letter: char) -> Vec<Action> {
    press(app, KeyCode::Char(letter), KeyModifiers::CONTROL)
}

fn alt(app: &mut App, code: KeyCode) -> Vec<Action> {
    press(app, code, KeyModifiers::ALT)
}

fn type_in(app: &mut App, text: &str) -> Vec<Action> {
    text.chars().flat_map(|letter| key(app, KeyCode::Char(letter))).collect()
}

fn online(app: &mut App) {
    app.handle(Input::Client(Box::new(Event::Online)), 0);
}

fn typed(app: &App) -> &str {
    app.open.as_ref().unwrap().editor.text()
}

fn opened(app: &App) -> Option<&str> {
    app.open.as_ref().map(|open| open.peer.as_ref())
}

fn draft(peer: &str, text: &str) -> Action {
    let drafts = BTreeMap::from([(name(peer), text.to_owned())]);
    Action::Keep(Kept { drafts, notices: Vec::new() })
}

fn seen(app: &mut App, position: i64) -> Vec<Action> {
    let peer = app.open.as_ref().unwrap().peer.clone();
    let drawn = Drawn { history: (40, 10), at_top: false, seen: Some((peer, position)) };
    app.handle(Input::Drawn(drawn), 0)
}

#[test]
fn it_begins_by_asking_for_the_conversations_once() {
    let mut app = app();
    assert_eq!(app.handle(Input::Tick, 0), [Action::LoadConversations]);
    // Until the answer is there nothing is asked again, whatever comes.
    for _ in 0..3 {
        let arrived = Input::Arrived { from: name("bob"), to: name("alice") };
        assert!(!has(&app.handle(arrived, 0), &Action::LoadConversations));
    }
    let actions = app.handle(Input::Conversations(vec![conversation("bob", 1)]), 0);
    assert!(has(&actions, &Action::LoadConversations), "what came meanwhile: {actions:?}");
    assert!(has(&actions, &Action::Watch([name("bob")].into())));
}

#[test]
fn a_message_that_was_not_taken_stands_in_the_input_again() {
    let mut app = talking(vec![]);
    type_in(&mut app, "hi");
    key(&mut app, KeyCode::Enter);
    type_in(&mut app, "x");
    let refused =
        |text: &str| Input::NotStored { peer: name("bob"), text: text.to_owned(), reason: "too long".to_owned() };
    app.handle(refused("hi"), 0);
    assert_eq!(typed(&app), "hi\nx");
    assert!(app.notices[0].contains("too long"), "{:?}", app.notices);

    // Also when another conversation is open by then.
    control(&mut app, 'u');
    key(&mut app, KeyCode::Enter);
    alt(&mut app, KeyCode::Down);
    app.handle(refused("hi"), 0);
    alt(&mut app, KeyCode::Up);
    assert!(typed(&app).starts_with("hi"), "{}", typed(&app));
}

#[test]
fn each_conversation_keeps_its_draft_also_over_a_restart() {
    let mut app = talking(vec![]);
    type_in(&mut app, "for bob");
    alt(&mut app, KeyCode::Down);
    assert_eq!(typed(&app), "");
    let actions = type_in(&mut app, "for carol");
    let Some(Action::Keep(kept)) = actions.last() else { unreachable!("{actions:?}") };
    assert_eq!(kept.drafts.len(), 2);
    let again = App::new(me(), look(), kept.clone(), Some(name("bob")));
    assert_eq!(typed(&again), "for bob");
    alt(&mut app, KeyCode::Up);
    assert_eq!(typed(&app), "for bob");
}

#[test]
fn that_one_types_is_told_to_contacts_while_there_is_a_connection() {
    let mut app = talking(vec![]);
    let tells = |actions: &[Action]| has(actions, &Action::Typing(name("bob")));
    assert!(!tells(&type_in(&mut app, "offline")));
    online(&mut app);
    assert!(tells(&type_in(&mut app, "x")));
    assert!(!tells(&key(&mut app, KeyCode::Left)), "nothing was typed");
    control(&mut app, 'u');
    app.open.as_mut().unwrap().editor.take();
    assert!(!tells(&type_in(&mut app, " ")), "that is nothing yet");
    app.conversations[0].contact.standing = Standing::Request;
    app.conversations[0].last = None;
    assert!(!tells(&type_in(&mut app, "x")), "they were never written to");
}

#[test]
fn typing_is_shown_for_a_while() {
    let mut app = talking(vec![]);
    app.handle(Input::Client(Box::new(Event::Typing { from: name("bob") })), 0);
    app.handle(Input::Tick, 5_999);
    assert!(app.typing.contains_key("bob"));
    app.handle(Input::Tick, 6_000);
    assert!(app.typing.is_empty());
    app.handle(Input::Client(Box::new(Event::Typing { from: name("bob") })), 0);
    app.handle(Input::Arrived { from: name("bob"), to: name("alice") }, 6_001);
    assert!(app.typing.is_empty(), "it has come");
}

#[test]
fn what_was_on_the_screen_is_marked_and_nothing_else() {
    let shown = |actions: &[Action]| has(actions, &Action::MarkShown { peer: name("bob"), position: 1 });
    let mut app = talking(vec![entry(1, "bob", "bob", "hi")]);
    app.handle(Input::Focus(false), 0);
    assert!(!shown(&seen(&mut app, 1)), "another window has the keys");
    app.handle(Input::Focus(true), 0);
    key(&mut app, KeyCode::F(1));
    assert!(!shown(&seen(&mut app, 1)), "something stands in front");
    key(&mut app, KeyCode::Esc);
    assert!(shown(&seen(&mut app, 1)));
    assert!(!shown(&seen(&mut app, 1)), "once is enough");
    let others = Drawn { history: (40, 10), at_top: false, seen: Some((name("carol"), 5)) };
    assert_eq!(app.handle(Input::Drawn(others), 0), [], "what was drawn before another was opened");
}

#[test]
fn a_message_of_somebody_else_rings_unless_it_is_seen_muted_or_a_stranger_s() {
    let rings = |app: &mut App, from: &str| {
        has(&app.handle(Input::Arrived { from: name(from), to: name("alice") }, 0), &Action::Bell)
    };
    let mut app = talking(vec![]);
    assert!(!rings(&mut app, "bob"));
    assert!(rings(&mut app, "carol"));
    assert!(!rings(&mut app, "stranger"));
    app.handle(Input::Focus(false), 0);
    assert!(rings(&mut app, "bob"));
    app.conversations[0].contact.muted = true;
    assert!(!rings(&mut app, "bob"));
    let own = Input::Arrived { from: name("alice"), to: name("carol") };
    assert!(!has(&app.handle(own, 0), &Action::Bell), "from another device of one's own");
}

#[test]
fn statuses_go_forward_only() {
    let mut mine = entry(1, "bob", "alice", "hi");
    mine.state = EntryState::Waiting;
    let mut app = talking(vec![mine]);
    for (status, state) in [
        (Status::Queued, EntryState::Queued),
        (Status::Delivered, EntryState::Delivered),
        (Status::Queued, EntryState::Delivered),
    ] {
        app.handle(Input::Client(Box::new(Event::Status { message_id: id(1), status })), 0);
        assert_eq!(app.open.as_ref().unwrap().entries[0].state, state);
    }
}

#[test]
fn losing_the_connection_says_why_and_forgets_who_is_online() {
    let mut app = talking(vec![]);
    online(&mut app);
    app.presence.insert(name("bob"), true);
    let lost = Event::Offline(Error::Connect("the server has fallen silent".to_owned()));
    app.handle(Input::Client(Box::new(lost)), 0);
    assert_eq!(app.link, Link::Offline("the server has fallen silent".to_owned()));
    assert!(app.presence.is_empty());
    online(&mut app);
    assert_eq!(app.link, Link::Online);
}

#[test]
fn devices_that_come_and_go_are_told() {
    let mut app = talking(vec![]);
    let device = sealwire_protocol::ids::DeviceId::new_v7(MORNING, [7; 10]);
    for (who, words) in [("alice", "not you"), ("bob", "1 device was added, 2 devices were removed")] {
        let event = Event::DevicesChanged {
            name: name(who),
            added: vec![device],
            removed: vec![device; 2],
            own: who == "alice",
        };
        app.handle(Input::Client(Box::new(event)), 0);
        assert!(app.notices.last().unwrap().contains(words), "{:?}", app.notices);
    }
}

#[test]
fn who_is_online_is_what_was_told_last() {
    let mut app = talking(vec![]);
    for online in [true, false] {
        app.handle(Input::Client(Box::new(Event::Presence { name: name("bob"), online })), 0);
        assert_eq!(app.presence[&name("bob")], online);
    }
}

#[test]
fn warnings_stay_until_they_are_dismissed_also_over_a_restart() {
    let mut app = talking(vec![]);
    let forked = Alarm::OtherManifest { from: name("bob"), of: name("carol") };
    let events = [Event::Alarm(forked.clone()), Event::Alarm(forked), Event::MailboxOverflow(3)];
    let actions: Vec<_> = events.into_iter().flat_map(|event| app.handle(Input::Client(Box::new(event)), 0)).collect();
    assert_eq!(app.notices.len(), 2, "the same one twice is one: {:?}", app.notices);
    let kept = actions.iter().rev().find_map(|action| if let Action::Keep(kept) = action { Some(kept) } else { None });
    let mut app = App::new(me(), look(), kept.unwrap().clone(), None);
    assert!(app.notices[0].contains("safety numbers"), "{:?}", app.notices);
    key(&mut app, KeyCode::Esc);
    assert!(app.notices[0].contains("3 messages were lost"), "{:?}", app.notices);
    key(&mut app, KeyCode::Esc);
    assert!(app.notices.is_empty());
}

#[test]
fn a_message_that_was_given_up_says_why() {
    let mut app = talking(vec![entry(1, "bob", "alice", "hi")]);
    let actions = app.handle(Input::Failed { message_id: id(1), reason: "nobody is called bob".to_owned() }, 0);
    assert_eq!(app.failures[&id(1)], "nobody is called bob");
    assert!(actions.iter().any(|action| matches!(action, Action::Load { .. })), "{actions:?}");
}

#[test]
fn those_who_are_blocked_stand_last_and_are_not_watched() {
    let app = app_with(vec![
        conversation_but("bob", |contact| contact.blocked = true),
        conversation_but("carol", |contact| contact.standing = Standing::Request),
        conversation("dave", 0),
        conversation("alice", 0),
    ]);
    let order: Vec<_> = app.conversations.iter().map(|one| one.peer.as_ref()).collect();
    assert_eq!(order, ["carol", "dave", "alice", "bob"]);
    assert_eq!(app.watched, [name("dave")].into());
}

fn any_key() -> impl Strategy<Value = KeyEvent> {
    let codes = prop_oneof![
        any::<char>().prop_map(KeyCode::Char),
        "[a-z?/]".prop_map(|text: String| KeyCode::Char(text.chars().next().unwrap_or('a'))),
        (1_u8..5).prop_map(KeyCode::F),
        Just(KeyCode::Enter),
        Just(KeyCode::Esc),
        Just(KeyCode::Tab),
        Just(KeyCode::Up),
        Just(KeyCode::Down),
        Just(KeyCode::Left),
        Just(KeyCode::Right),
        Just(KeyCode::PageUp),
        Just(KeyCode::Backspace),
        Just(KeyCode::Delete),
        Just(KeyCode::Home),
        Just(KeyCode::End),
    ];
    (codes, 0_u8..8).prop_map(|(code, modifiers)| KeyEvent::new(code, KeyModifiers::from_bits_truncate(modifiers)))
}

proptest! {
    /// Whatever is pressed, what was typed is in the draft, in what is sent, or on its way: never nowhere.
    #[test]
    fn no_row_of_keys_panics_and_what_is_kept_is_what_was_typed(keys in prop::collection::vec(any_key(), 0..60)) {
        let mut app = talking((1..20).map(|n| entry(n, "bob", "bob", "words")).collect());
        let mut kept = Kept::default();
        for key in keys {
            for action in app.handle(Input::Key(key), 0) {
                if let Action::Keep(new) = action {
                    kept = new;
                }
            }
            let open = app.open.as_ref().unwrap();
            let draft = kept.drafts.get(&open.peer).map_or("", String::as_str);
            prop_assert!(draft.ends_with(open.editor.text()));
            for (peer, text) in &app.sending {
                prop_assert!(kept.drafts[peer].contains(text.as_str()));
            }
        }
    }
}
