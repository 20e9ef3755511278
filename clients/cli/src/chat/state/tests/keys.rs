//! Every key.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use sealwire_client::conversation::Standing;

use super::*;

#[test]
fn keys_of_the_list() {
    let mut app = app_with(vec![conversation("bob", 0), conversation("carol", 0), conversation("dave", 0)]);
    for (code, chosen) in [
        (KeyCode::Down, 1),
        (KeyCode::Char('j'), 2),
        (KeyCode::Down, 2),
        (KeyCode::Up, 1),
        (KeyCode::Char('k'), 0),
        (KeyCode::End, 2),
        (KeyCode::Home, 0),
        (KeyCode::PageDown, 2),
        (KeyCode::PageUp, 0),
    ] {
        key(&mut app, code);
        assert_eq!(app.chosen, chosen, "{code:?}");
    }
    assert_eq!(key(&mut app, KeyCode::Char('q')), [Action::Quit]);
    for (code, opens) in [(KeyCode::Enter, "bob"), (KeyCode::Right, "carol"), (KeyCode::Tab, "dave")] {
        app.focus = Focus::List;
        app.open = None;
        key(&mut app, code);
        assert_eq!((opened(&app), app.focus), (Some(opens), Focus::Conversation), "{code:?}");
        app.chosen += 1;
    }
}

#[test]
fn tab_goes_to_the_list_and_back() {
    let mut app = talking(vec![]);
    for focus in [Focus::List, Focus::Conversation] {
        key(&mut app, KeyCode::Tab);
        assert_eq!(app.focus, focus);
    }
    key(&mut app, KeyCode::Esc);
    assert_eq!(app.focus, Focus::List);
}

#[test]
fn alt_up_and_down_open_the_neighbour() {
    let mut app = talking(vec![]);
    alt(&mut app, KeyCode::Down);
    assert_eq!(opened(&app), Some("carol"));
    alt(&mut app, KeyCode::Down);
    assert_eq!(opened(&app), Some("carol"));
    alt(&mut app, KeyCode::Up);
    assert_eq!(opened(&app), Some("bob"));
}

#[test]
fn keys_that_open_dialogs_and_escape_that_closes_them() {
    let mut app = talking(vec![]);
    let is = |dialog: &Option<Dialog>, what: &str| format!("{dialog:?}").starts_with(&format!("Some({what}"));
    for (code, modifiers, what) in [
        (KeyCode::F(1), KeyModifiers::NONE, "Help"),
        (KeyCode::F(2), KeyModifiers::NONE, "Person"),
        (KeyCode::Char('o'), KeyModifiers::CONTROL, "Person"),
        (KeyCode::F(3), KeyModifiers::NONE, "Me"),
        (KeyCode::Char('n'), KeyModifiers::CONTROL, "New"),
        (KeyCode::Char('f'), KeyModifiers::CONTROL, "Search"),
    ] {
        press(&mut app, code, modifiers);
        assert!(is(&app.dialog, what), "{code:?}: {:?}", app.dialog);
        key(&mut app, KeyCode::Esc);
        assert!(app.dialog.is_none());
    }
    app.focus = Focus::List;
    for (letter, what) in [('?', "Help"), ('/', "Search"), ('n', "New")] {
        key(&mut app, KeyCode::Char(letter));
        assert!(is(&app.dialog, what), "{letter}: {:?}", app.dialog);
        key(&mut app, KeyCode::Esc);
    }
}

#[test]
fn control_c_and_control_q_quit_from_everywhere() {
    for open in [None, Some(Dialog::Help)] {
        for letter in ['c', 'q'] {
            let mut app = talking(vec![]);
            app.dialog = if open.is_some() { Some(Dialog::Help) } else { None };
            assert_eq!(control(&mut app, letter), [Action::Quit]);
        }
    }
    assert_eq!(control(&mut talking(vec![]), 'l'), [Action::Redraw]);
}

#[test]
fn a_released_key_does_nothing() {
    let mut app = talking(vec![]);
    let mut event = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
    event.kind = KeyEventKind::Release;
    app.handle(Input::Key(event), 0);
    assert_eq!(typed(&app), "");
}

#[test]
fn keys_of_the_input() {
    let none = KeyModifiers::NONE;
    let ctrl = KeyModifiers::CONTROL;
    let alt = KeyModifiers::ALT;
    for (keys, text) in [
        (&[(KeyCode::Left, none), (KeyCode::Char('X'), KeyModifiers::SHIFT)][..], "one twXo"),
        (&[(KeyCode::Left, ctrl), (KeyCode::Char('X'), none)], "one Xtwo"),
        (
            &[
                (KeyCode::Char('b'), alt),
                (KeyCode::Char('b'), alt),
                (KeyCode::Char('f'), alt),
                (KeyCode::Char('X'), none),
            ],
            "oneX two",
        ),
        (&[(KeyCode::Home, none), (KeyCode::Right, none), (KeyCode::Char('X'), none)], "oXne two"),
        (&[(KeyCode::Home, none), (KeyCode::Right, ctrl), (KeyCode::Char('X'), none)], "oneX two"),
        (
            &[
                (KeyCode::Char('a'), ctrl),
                (KeyCode::Char('X'), none),
                (KeyCode::Char('e'), ctrl),
                (KeyCode::Char('Y'), none),
            ],
            "Xone twoY",
        ),
        (&[(KeyCode::Home, none), (KeyCode::End, none), (KeyCode::Char('X'), none)], "one twoX"),
        (&[(KeyCode::Char('b'), ctrl), (KeyCode::Char('d'), ctrl)], "one tw"),
        (&[(KeyCode::Backspace, none)], "one tw"),
        (&[(KeyCode::Char('h'), ctrl)], "one tw"),
        (&[(KeyCode::Backspace, alt)], "one "),
        (&[(KeyCode::Char('w'), ctrl)], "one "),
        (&[(KeyCode::Home, none), (KeyCode::Delete, none)], "ne two"),
        (&[(KeyCode::Left, ctrl), (KeyCode::Char('u'), ctrl)], "two"),
        (&[(KeyCode::Left, ctrl), (KeyCode::Char('k'), ctrl)], "one "),
        (&[(KeyCode::Char('w'), ctrl), (KeyCode::Char('y'), ctrl), (KeyCode::Char('y'), ctrl)], "one twotwo"),
        (&[(KeyCode::Enter, alt)], "one two\n"),
        (&[(KeyCode::Enter, KeyModifiers::SHIFT)], "one two\n"),
        (&[(KeyCode::Char('j'), ctrl)], "one two\n"),
        (&[(KeyCode::Char('j'), ctrl), (KeyCode::Up, none), (KeyCode::Char('X'), none)], "Xone two\n"),
        (
            &[
                (KeyCode::Char('a'), ctrl),
                (KeyCode::Char('j'), ctrl),
                (KeyCode::Up, none),
                (KeyCode::Down, none),
                (KeyCode::Char('X'), none),
            ],
            "\nXone two",
        ),
        (&[(KeyCode::Char('x'), alt), (KeyCode::Char('t'), ctrl), (KeyCode::Insert, none)], "one two"),
    ] {
        let mut app = talking(vec![]);
        type_in(&mut app, "one two");
        for (code, modifiers) in keys {
            press(&mut app, *code, *modifiers);
        }
        assert_eq!(typed(&app), text, "{keys:?}");
    }
}

#[test]
fn enter_sends_and_the_draft_goes_only_when_the_message_is_in_the_outbox() {
    let mut app = talking(vec![]);
    let actions = type_in(&mut app, "hi");
    assert!(has(&actions, &draft("bob", "h")) && has(&actions, &draft("bob", "hi")));
    let actions = key(&mut app, KeyCode::Enter);
    // The draft that is kept is still the text: nothing is to be stored anew.
    assert_eq!(actions, [Action::Send { peer: name("bob"), text: "hi".to_owned() }]);
    assert_eq!(typed(&app), "");
    assert!(has(&type_in(&mut app, "x"), &draft("bob", "hi\nx")));
    let actions = app.handle(Input::Stored { peer: name("bob"), text: "hi".to_owned() }, 0);
    assert!(has(&actions, &draft("bob", "x")), "{actions:?}");
    assert!(actions.iter().any(|action| matches!(action, Action::Load { before: None, .. })), "{actions:?}");
}

#[test]
fn nothing_but_spaces_is_not_sent() {
    let mut app = talking(vec![]);
    type_in(&mut app, "  ");
    assert_eq!(key(&mut app, KeyCode::Enter), []);
    assert_eq!(typed(&app), "  ");
}

#[test]
fn a_paste_keeps_its_lines_and_sends_nothing() {
    let mut app = talking(vec![]);
    let actions = app.handle(Input::Paste("one\r\ntwo\n".to_owned()), 0);
    assert_eq!(typed(&app), "one\ntwo\n");
    assert!(!actions.iter().any(|action| matches!(action, Action::Send { .. })));
    // In the list there is nothing to paste into.
    key(&mut app, KeyCode::Tab);
    app.handle(Input::Paste("more".to_owned()), 0);
    assert_eq!(typed(&app), "one\ntwo\n");
}

#[test]
fn a_stranger_is_accepted_blocked_or_left_alone_before_anything_is_written() {
    for (letter, action) in [
        ('a', Some(Action::Accept(name("bob")))),
        ('b', Some(Action::Block(name("bob"), true))),
        ('i', None),
        ('x', None),
    ] {
        let mut app = talking(vec![]);
        app.conversations[0].contact.standing = Standing::Request;
        let actions = key(&mut app, KeyCode::Char(letter));
        assert_eq!(typed(&app), "");
        assert_eq!(app.focus == Focus::List, letter == 'i');
        match action {
            Some(action) => assert!(has(&actions, &action), "{letter}: {actions:?}"),
            None => assert!(!actions.iter().any(|a| matches!(a, Action::Accept(_) | Action::Block(..))), "{actions:?}"),
        }
    }
}

#[test]
fn to_somebody_who_is_blocked_nothing_is_typed() {
    let mut app = talking(vec![]);
    app.conversations[0].contact.blocked = true;
    type_in(&mut app, "hi");
    assert_eq!(typed(&app), "");
    assert!(has(&key(&mut app, KeyCode::Char('u')), &Action::Block(name("bob"), false)));
}

#[test]
fn while_a_key_has_changed_nothing_is_sent_and_nothing_lost() {
    let mut app = talking(vec![]);
    app.conversations[0].contact.changed_key = true;
    type_in(&mut app, "hi");
    let actions = key(&mut app, KeyCode::Enter);
    assert!(!actions.iter().any(|action| matches!(action, Action::Send { .. })), "{actions:?}");
    assert_eq!(typed(&app), "hi");
    assert!(app.notices[0].contains("held"), "{:?}", app.notices);

    key(&mut app, KeyCode::F(2));
    key(&mut app, KeyCode::Char('k'));
    assert!(matches!(app.dialog, Some(Dialog::Change(_))));
    assert_eq!(key(&mut app, KeyCode::Enter), [], "only a yes is a yes");
    let actions = key(&mut app, KeyCode::Char('y'));
    assert!(has(&actions, &Action::AcceptIdentity(name("bob"))), "{actions:?}");
    assert!(app.dialog.is_none());
}

#[test]
fn keys_of_the_person_s_dialog() {
    for (letter, change, action) in [
        ('m', None, Some(Action::Mute(name("bob"), true))),
        ('m', Some("muted"), Some(Action::Mute(name("bob"), false))),
        ('b', None, Some(Action::Block(name("bob"), true))),
        ('b', Some("blocked"), Some(Action::Block(name("bob"), false))),
        ('v', None, Some(Action::AskSafety(name("bob")))),
        ('v', Some("verified"), Some(Action::SetVerified(name("bob"), false))),
        ('v', Some("changed"), None),
        ('a', Some("request"), Some(Action::Accept(name("bob")))),
        ('a', None, None),
        ('k', None, None),
    ] {
        let mut app = talking(vec![]);
        let contact = &mut app.conversations[0].contact;
        match change {
            Some("muted") => contact.muted = true,
            Some("blocked") => contact.blocked = true,
            Some("verified") => contact.verified = true,
            Some("changed") => contact.changed_key = true,
            Some("request") => contact.standing = Standing::Request,
            _ => {}
        }
        key(&mut app, KeyCode::F(2));
        let actions = key(&mut app, KeyCode::Char(letter));
        let decided: Vec<_> = actions
            .into_iter()
            .filter(|action| !matches!(action, Action::LoadConversations | Action::Watch(_)))
            .collect();
        assert_eq!(decided, Vec::from_iter(action), "{letter} {change:?}");
    }
}

#[test]
fn only_a_number_that_is_there_can_be_confirmed() {
    let mut app = talking(vec![]);
    let ask = |app: &mut App| {
        key(app, KeyCode::F(2));
        key(app, KeyCode::Char('v'));
    };
    ask(&mut app);
    assert_eq!(key(&mut app, KeyCode::Char('y')), []);
    let number = |peer: &str| Input::Safety { peer: name(peer), number: Ok("12345 67890".to_owned()) };
    app.handle(number("carol"), 0);
    assert_eq!(key(&mut app, KeyCode::Char('y')), [], "that is somebody else's");
    app.handle(number("bob"), 0);
    assert_eq!(key(&mut app, KeyCode::Enter), [], "only a yes is a yes");
    assert!(has(&key(&mut app, KeyCode::Char('y')), &Action::SetVerified(name("bob"), true)));
    ask(&mut app);
    app.handle(number("bob"), 0);
    let actions = key(&mut app, KeyCode::Char('n'));
    assert!(!actions.iter().any(|action| matches!(action, Action::SetVerified(..))), "{actions:?}");
    assert!(app.notices[0].contains("differ"), "{:?}", app.notices);
}

#[test]
fn a_new_conversation_begins_with_a_name_that_can_be_one() {
    let mut app = app_with(vec![]);
    control(&mut app, 'n');
    type_in(&mut app, "a b");
    key(&mut app, KeyCode::Enter);
    let Some(Dialog::New(new)) = &app.dialog else { unreachable!("{:?}", app.dialog) };
    assert!(new.wrong.as_ref().unwrap().contains("username"), "{new:?}");
    control(&mut app, 'u');
    app.handle(Input::Paste(" Dave \nmore".to_owned()), 0);
    key(&mut app, KeyCode::Enter);
    assert_eq!((opened(&app), app.focus), (Some("dave"), Focus::Conversation));
    assert!(!app.is_request(&name("dave")), "one may write at once");
    // The profile does not know of it yet.
    app.handle(Input::Conversations(vec![conversation("bob", 0)]), 0);
    assert_eq!(app.conversations[0].peer, name("dave"));
}

#[test]
fn a_search_leads_to_the_message() {
    let mut app = talking(vec![]);
    control(&mut app, 'f');
    assert_eq!(key(&mut app, KeyCode::Enter), [], "nothing to look for");
    type_in(&mut app, "tea");
    assert_eq!(key(&mut app, KeyCode::Enter), [Action::Search("tea".to_owned())]);
    assert_eq!(key(&mut app, KeyCode::Enter), [], "nothing has been found yet");
    let hits = vec![entry(9, "bob", "bob", "tea"), entry(5, "carol", "alice", "more tea")];
    app.handle(Input::Found { text: "tee".to_owned(), entries: hits.clone() }, 0);
    assert_eq!(key(&mut app, KeyCode::Enter), [], "that was the answer to another question");
    app.handle(Input::Found { text: "tea".to_owned(), entries: hits }, 0);
    key(&mut app, KeyCode::Down);
    key(&mut app, KeyCode::Down);
    key(&mut app, KeyCode::Up);
    key(&mut app, KeyCode::Down);
    let actions = key(&mut app, KeyCode::Enter);
    assert_eq!(opened(&app), Some("carol"));
    let asked = |action: &Action| matches!(action, Action::Load { until: Some(5), .. });
    assert!(actions.iter().any(asked), "{actions:?}");
    let entries: Vec<_> = (1..60).map(|n| entry(n, "carol", "carol", "words")).collect();
    app.handle(page("carol", entries), 0);
    let open = app.open.as_ref().unwrap();
    assert_eq!(open.sought, Some(5));
    assert!(open.lowest.is_some_and(|lowest| (5..30).contains(&lowest.position)), "{:?}", open.lowest);
}

#[test]
fn sharing_presence_is_one_s_own_decision() {
    let mut app = talking(vec![]);
    key(&mut app, KeyCode::F(3));
    assert_eq!(key(&mut app, KeyCode::Char('p')), [Action::SharePresence(true)]);
    assert_eq!(key(&mut app, KeyCode::Char('p')), [Action::SharePresence(false)]);
    key(&mut app, KeyCode::Enter);
    assert!(app.dialog.is_none());
}

fn long(app: &mut App, count: i64) {
    let entries: Vec<_> = (1..=count).map(|n| entry(n, "bob", "bob", "words")).collect();
    let mut whole = page("bob", entries);
    if let Input::Page(page) = &mut whole {
        page.is_first = false;
    }
    app.handle(whole, 0);
    app.handle(Input::Drawn(Drawn { history: (40, 10), ..Drawn::default() }), 0);
}

fn lowest(app: &App) -> Option<i64> {
    app.open.as_ref().unwrap().lowest.map(|lowest| lowest.position)
}

#[test]
fn scrolling_keeps_its_place_when_something_comes() {
    let mut app = talking(vec![]);
    long(&mut app, 50);
    assert_eq!(lowest(&app), None);
    key(&mut app, KeyCode::PageUp);
    assert_eq!(lowest(&app), Some(42));
    key(&mut app, KeyCode::Up);
    assert_eq!(lowest(&app), Some(41));
    long(&mut app, 60);
    assert_eq!(lowest(&app), Some(41));
    key(&mut app, KeyCode::Down);
    key(&mut app, KeyCode::PageDown);
    assert_eq!(lowest(&app), Some(50));
    press(&mut app, KeyCode::Home, KeyModifiers::CONTROL);
    assert_eq!(lowest(&app), Some(9), "ten lines, one of which is the day");
    key(&mut app, KeyCode::PageUp);
    assert_eq!(lowest(&app), Some(9), "there is nothing above");
    press(&mut app, KeyCode::End, KeyModifiers::CONTROL);
    assert_eq!(lowest(&app), None);
    key(&mut app, KeyCode::PageUp);
    (0..3).for_each(|_| drop(key(&mut app, KeyCode::PageDown)));
    assert_eq!(lowest(&app), None, "at the end it follows what comes");
}

#[test]
fn older_messages_are_loaded_when_the_oldest_is_on_the_screen() {
    let mut app = talking(vec![]);
    long(&mut app, 50);
    let at_top = || Input::Drawn(Drawn { history: (40, 10), at_top: true, seen: None });
    let actions = app.handle(at_top(), 0);
    assert!(matches!(&actions[..], [Action::Load { before: Some(1), until: None, .. }]), "{actions:?}");
    assert_eq!(app.handle(at_top(), 0), [], "one question at a time");
    let older = vec![entry(0, "bob", "bob", "the first")];
    app.handle(Input::Page(Page { peer: name("bob"), entries: older, before: Some(1), is_first: true }), 0);
    assert_eq!(app.open.as_ref().unwrap().entries.len(), 51);
    assert_eq!(app.handle(at_top(), 0), [], "there is nothing before");
}

#[test]
fn a_conversation_opens_at_the_first_new_message() {
    let mut app = app_with(vec![conversation("bob", 30)]);
    app.handle(Input::Drawn(Drawn { history: (40, 10), ..Drawn::default() }), 0);
    let actions = key(&mut app, KeyCode::Enter);
    assert!(actions.iter().any(|action| matches!(action, Action::Load { before: None, .. })), "{actions:?}");
    app.handle(page("bob", (1..=50).map(|n| entry(n, "bob", "bob", "words")).collect()), 0);
    let open = app.open.as_ref().unwrap();
    assert_eq!(open.new_from, Some(21));
    // The first of the ten lines is that of the rule, or of message 21.
    assert!(matches!(lowest(&app), Some(28..=30)), "{:?}", open.lowest);
}
