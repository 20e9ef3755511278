//! The conversations: who, whether they are there, and how much is unread.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use sealwire_client::conversation::Conversation;

use super::style::{Kind, style};
use crate::chat::look::Sign;
use crate::chat::state::{App, Focus};
use crate::chat::text::{clip, width, wrap};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    if app.conversations.is_empty() {
        let room = usize::from(area.width).max(1);
        let words = "Nobody here yet. Ctrl-N begins a conversation.";
        let lines: Vec<_> = wrap(words, room, room).into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines).style(style(&app.look, Kind::Aside)), area);
        return;
    }
    let height = usize::from(area.height).max(1);
    let first = (app.chosen + 1).saturating_sub(height);
    let visible = app.conversations.iter().enumerate().skip(first).take(height);
    let lines: Vec<_> = visible.map(|(i, one)| line(app, one, i == app.chosen, area.width.into())).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn line(app: &App, conversation: &Conversation, is_chosen: bool, room: usize) -> Line<'static> {
    let look = &app.look;
    let is_open = app.open.as_ref().is_some_and(|open| open.peer == conversation.peer);
    let marker = if is_open || is_chosen { look.sign(Sign::Chosen) } else { " " };
    let (words, kind) = state(app, conversation);
    let behind = if words.is_empty() { String::new() } else { format!(" {words}") };
    let name = if conversation.peer == app.me.name { "notes to yourself" } else { conversation.peer.as_ref() };
    let before = format!("{marker}{} ", presence(app, conversation));
    let space = room.saturating_sub(width(&before) + width(&behind) + 1);
    let name = clip(name, space, look.sign(Sign::More));
    let gap = " ".repeat(space.saturating_sub(width(&name)));
    let mut line = Line::from(vec![
        Span::raw(before),
        Span::styled(name, style(look, kind)),
        Span::raw(gap),
        Span::styled(behind, style(look, kind)),
        Span::raw(" "),
    ]);
    if is_chosen && app.focus == Focus::List {
        line = line.style(style(look, Kind::Chosen));
    }
    line
}

/// A space for whom nothing is known.
fn presence(app: &App, conversation: &Conversation) -> &'static str {
    match app.presence.get(&conversation.peer) {
        Some(true) => app.look.sign(Sign::Here),
        Some(false) => app.look.sign(Sign::Away),
        None => " ",
    }
}

/// The one thing that matters most, in a word or a number.
fn state(app: &App, conversation: &Conversation) -> (String, Kind) {
    let contact = &conversation.contact;
    if contact.blocked {
        return ("blocked".to_owned(), Kind::Aside);
    }
    if contact.changed_key {
        return ("key!".to_owned(), Kind::Bad);
    }
    let unread = match conversation.unread {
        0 => String::new(),
        count => format!("({count})"),
    };
    if app.is_request(&conversation.peer) {
        return (format!("new {unread}").trim_end().to_owned(), Kind::Strong);
    }
    match (contact.muted, conversation.unread) {
        (true, _) => (format!("muted {unread}").trim_end().to_owned(), Kind::Aside),
        (false, 0) if app.typing.contains_key(&conversation.peer) => ("typing".to_owned(), Kind::Aside),
        (false, 0) => (String::new(), Kind::Plain),
        (false, _) => (unread, Kind::Strong),
    }
}
