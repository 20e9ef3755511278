//! What stands in front of the conversations.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::symbols::border;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};
use sealwire_client::conversation::Entry;
use sealwire_protocol::Username;

use super::input;
use super::style::{Kind, style};
use crate::chat::editor::Editor;
use crate::chat::look::Sign;
use crate::chat::state::{App, Dialog, NewName, Search};
use crate::chat::text::{clip, shown, wrap};

/// The most columns of a box.
const WIDE: u16 = 72;
const PLAIN: border::Set<'_> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// What each key does; `state::keys` does it.
const HELP: &[(&str, &str)] = &[
    ("Enter", "send; in the list: open"),
    ("Alt-Enter, Ctrl-J", "a new line"),
    ("Tab, Esc", "to the list and back"),
    ("Alt-Up, Alt-Down", "the next conversation"),
    ("PgUp, PgDn, Up, Down", "scroll"),
    ("Ctrl-Home, Ctrl-End", "to the first, to the last"),
    ("Ctrl-N", "write to somebody new"),
    ("Ctrl-F", "search everywhere"),
    ("F2, Ctrl-O", "verify, mute, block"),
    ("F3", "you: show that you are online"),
    ("Esc", "a warning was seen"),
    ("Ctrl-A, Ctrl-E", "begin, end of the line"),
    ("Alt-B, Alt-F", "a word back, on"),
    ("Ctrl-W, Ctrl-U, Ctrl-K", "cut word, to begin, to end"),
    ("Ctrl-Y", "put back what was cut"),
    ("Ctrl-L", "draw anew"),
    ("Ctrl-Q, Ctrl-C", "quit; what you typed stays"),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, dialog: &Dialog) {
    match dialog {
        Dialog::Help => help(frame, area, app),
        Dialog::New(new) => new_name(frame, area, app, new),
        Dialog::Search(search) => draw_search(frame, area, app, search),
        Dialog::Person(peer) => person(frame, area, app, peer),
        Dialog::Safety { peer, number } => safety(frame, area, app, peer, number.as_ref()),
        Dialog::Change(peer) => change(frame, area, app, peer),
        Dialog::Me => me(frame, area, app),
    }
}

/// Draws a box with these lines, as large as needed; gives the place inside.
fn boxed(frame: &mut Frame<'_>, area: Rect, app: &App, title: &str, lines: Vec<Line<'static>>) -> Rect {
    let width = area.width.min(WIDE);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let at = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let set = if app.look.ascii { PLAIN } else { border::PLAIN };
    let title = clip(title, usize::from(width.saturating_sub(4)), app.look.sign(Sign::More));
    let block = Block::bordered().border_set(set).title(format!(" {title} "));
    let inside = block.inner(at);
    frame.render_widget(Clear, at);
    frame.render_widget(Paragraph::new(lines).block(block), at);
    inside
}

fn room(area: Rect) -> usize {
    usize::from(area.width.min(WIDE).saturating_sub(2)).max(4)
}

fn words(text: &str, area: Rect) -> Vec<Line<'static>> {
    text.split('\n').flat_map(|line| wrap(line, room(area), room(area))).map(Line::from).collect()
}

fn help(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let room = room(area);
    let column = if room >= 56 { 25 } else { 0 };
    let lines = HELP.iter().flat_map(|(keys, what)| match column {
        0 => wrap(&format!("{keys}: {what}"), room, room),
        column => vec![clip(&format!("{keys:column$}{what}"), room, app.look.sign(Sign::More))],
    });
    let signs = [
        (Sign::Waiting, "waits on this device"),
        (Sign::Queued, "the server has it"),
        (Sign::Delivered, "a device of theirs has it"),
        (Sign::Lost, "did not arrive"),
    ];
    let signs: Vec<_> = signs.iter().map(|(sign, what)| format!("{} {what}", app.look.sign(*sign))).collect();
    let lines = lines.chain(wrap(&signs.join(", "), room, room)).map(Line::from).collect();
    boxed(frame, area, app, "Keys (Esc closes)", lines);
}

/// A line to type in; gives its text, and the column of the cursor.
fn typed(editor: &Editor, app: &App, room: usize) -> (String, u16) {
    let (lines, cursor) = input::layout(editor, app.look.ascii, room.saturating_sub(3));
    let (lines, cursor) = input::visible(lines, cursor, 1);
    (format!("> {}", lines.concat()), u16::try_from(cursor.1 + 2).unwrap_or(u16::MAX))
}

fn put_cursor(frame: &mut Frame<'_>, inside: Rect, column: u16) {
    frame.set_cursor_position(Position::new(inside.x.saturating_add(column), inside.y));
}

fn new_name(frame: &mut Frame<'_>, area: Rect, app: &App, new: &NewName) {
    let (text, column) = typed(&new.editor, app, room(area));
    let mut lines = vec![Line::from(text)];
    match &new.wrong {
        Some(wrong) => lines.extend(words(wrong, area).into_iter().map(|line| line.style(style(&app.look, Kind::Bad)))),
        None => lines.extend(words("The name of whom to write to, then Enter.", area)),
    }
    let inside = boxed(frame, area, app, "A new conversation", lines);
    put_cursor(frame, inside, column);
}

fn draw_search(frame: &mut Frame<'_>, area: Rect, app: &App, search: &Search) {
    let (text, column) = typed(&search.editor, app, room(area));
    let mut lines = vec![Line::from(text)];
    match &search.found {
        None => lines.extend(words("Words to look for in all conversations, then Enter.", area)),
        Some((_, None)) => lines.extend(words("Searching", area)),
        Some((_, Some(entries))) if entries.is_empty() => lines.extend(words("Nothing was found.", area)),
        Some((text, Some(entries))) => {
            let height = usize::from(area.height).saturating_sub(5).clamp(1, 12);
            let first = (search.chosen + 1).saturating_sub(height);
            let visible = entries.iter().enumerate().skip(first).take(height);
            lines.extend(visible.map(|(i, entry)| hit(app, entry, text, i == search.chosen, room(area))));
            lines.extend(words(&format!("{} found. Up, Down, Enter: go there.", entries.len()), area));
        }
    }
    let inside = boxed(frame, area, app, "Search (Esc closes)", lines);
    put_cursor(frame, inside, column);
}

/// A message that was found, from a little before the words on.
fn hit(app: &App, entry: &Entry, sought: &str, is_chosen: bool, room: usize) -> Line<'static> {
    let text = shown(&entry.text.as_deref().unwrap_or_default().replace('\n', " "), app.look.ascii);
    let at = text.to_lowercase().find(&sought.to_lowercase()).unwrap_or(0);
    let from = text.char_indices().map(|(i, _)| i).take_while(|i| *i <= at).last().unwrap_or(0);
    let skipped = text[..from].chars().count().saturating_sub(12);
    let text: String = text.chars().skip(skipped).collect();
    let (day, _) = app.look.time(entry.timestamp);
    let day = day.split(", ").nth(1).unwrap_or_default().to_owned();
    let who = if entry.own { format!("you to {}", entry.peer) } else { entry.from.to_string() };
    let marker = if is_chosen { app.look.sign(Sign::Chosen) } else { " " };
    let line = clip(&format!("{marker} {who}, {day}: {text}"), room, app.look.sign(Sign::More));
    if is_chosen { Line::styled(line, style(&app.look, Kind::Chosen)) } else { Line::from(line) }
}

fn person(frame: &mut Frame<'_>, area: Rect, app: &App, peer: &Username) {
    if *peer == app.me.name {
        boxed(frame, area, app, "You", words("Notes to yourself: your other devices get them.", area));
        return;
    }
    let contact = app.contact(peer);
    let (verified, muted, blocked) =
        contact.map_or((false, false, false), |contact| (contact.verified, contact.muted, contact.blocked));
    let mut text = Vec::new();
    if app.key_has_changed(peer) {
        text.push("Their key has changed; nothing is sent to them until you decide.\n[k] decide about the new key");
    } else if verified {
        text.push("You have compared safety numbers: it is they.\n[v] take that back");
    } else {
        text.push("You have not compared safety numbers yet.\n[v] verify: shows the number");
    }
    if app.is_request(peer) {
        text.push("They have written to you, and you never to them.\n[a] accept");
    }
    text.push(if muted { "Their messages come without a sign.\n[m] unmute" } else { "[m] mute: no bell" });
    text.push(match blocked {
        true => "They are blocked: nothing of theirs is kept or shown.\n[b] unblock",
        false => "[b] block: nothing of theirs is kept or shown",
    });
    boxed(frame, area, app, &format!("{peer} (Esc closes)"), words(&text.join("\n"), area));
}

fn safety(frame: &mut Frame<'_>, area: Rect, app: &App, peer: &Username, number: Option<&Result<String, String>>) {
    let text = match number {
        None => format!("Asking the server for the keys of {peer}."),
        Some(Err(reason)) => format!("There is no number: {}.", shown(reason, app.look.ascii)),
        Some(Ok(number)) => {
            let groups: Vec<_> = number.split(' ').collect();
            let rows: Vec<_> = groups.chunks(4).map(|row| format!("  {}", row.join(" "))).collect();
            format!(
                "{}\nCompare it with the one that {peer} sees, by voice or side by side; not in this conversation. Is it \
                 the same?\n[y] yes  [n] no",
                rows.join("\n")
            )
        }
    };
    boxed(frame, area, app, &format!("Safety number of you and {peer}"), words(&text, area));
}

fn change(frame: &mut Frame<'_>, area: Rect, app: &App, peer: &Username) {
    let text = format!(
        "The server shows another key for {peer} than before. That is so when {peer} has lost all devices and begun anew; it \
         is also so when somebody wants to read along.\nAsk {peer} by voice whether they have a new account. If not, answer \
         no. Afterwards they are unverified: compare the new number.\nBelieve the new key?\n[y] yes  [n] no"
    );
    boxed(frame, area, app, &format!("The key of {peer} has changed"), words(&text, area));
}

fn me(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let share = match app.me.shares_presence {
        true => "Others can see when you are online.\n[p] hide it",
        false => "Nobody can see whether you are online.\n[p] show it",
    };
    let text = format!("Device {}\nServer {}\n{share}", app.me.device, app.me.server);
    boxed(frame, area, app, app.me.name.as_ref(), words(&text, area));
}
