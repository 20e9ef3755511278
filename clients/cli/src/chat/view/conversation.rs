//! The conversation that is open: with whom, what was said, and what is being typed.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::input;
use super::style::{Kind, style};
use crate::chat::look::Sign;
use crate::chat::rows::{Row, Setting, rows};
use crate::chat::state::{App, Drawn, Focus, Open};
use crate::chat::text::{clip, width, wrap};

const PROMPT: &str = "> ";
/// From this height on the input is set apart by a rule.
const WITH_RULE: u16 = 9;

struct Parts {
    head: Rect,
    history: Rect,
    rule: Rect,
    below: Rect,
}

/// What stands below the history.
enum Below {
    Input { lines: Vec<String>, cursor: (usize, usize) },
    Words(Vec<String>, Kind),
}

/// Columns and lines that the history gets.
pub(super) fn size(area: Rect, app: &App) -> (usize, usize) {
    let history = parts(area, &below(area, app)).history;
    (history.width.into(), history.height.into())
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) -> Drawn {
    let below = below(area, app);
    let parts = parts(area, &below);
    let history = (parts.history.width.into(), parts.history.height.into());
    let Some(open) = &app.open else {
        let words = "Choose a conversation, or begin one with Ctrl-N.";
        frame.render_widget(Line::styled(words, style(&app.look, Kind::Aside)), parts.head);
        return Drawn { history, ..Drawn::default() };
    };
    let setting = Setting { look: &app.look, failures: &app.failures, size: history };
    let all = rows(open, &setting);
    let bottom = bottom(open, &all);
    draw_head(frame, parts.head, app, open, bottom < all.len());
    let drawn = draw_history(frame, &parts, app, open, &all[..bottom]);
    let rule = app.look.sign(Sign::Rule).repeat(parts.rule.width.into());
    frame.render_widget(Line::styled(rule, style(&app.look, Kind::Aside)), parts.rule);
    draw_below(frame, parts.below, app, below);
    drawn
}

/// How many lines there are down to the lowest on the screen.
fn bottom(open: &Open, all: &[Row]) -> usize {
    let lowest = open.lowest.and_then(|lowest| all.iter().position(|row| row.place == lowest));
    lowest.map_or(all.len(), |at| at + 1)
}

fn parts(area: Rect, below: &Below) -> Parts {
    let most = (area.height / 3).max(1);
    let lines = match below {
        Below::Input { lines, .. } => lines.len(),
        Below::Words(words, _) => words.len(),
    };
    let lines = u16::try_from(lines).unwrap_or(u16::MAX).clamp(1, most);
    let rule = u16::from(area.height >= WITH_RULE);
    let parts = [Constraint::Length(1), Constraint::Min(1), Constraint::Length(rule), Constraint::Length(lines)];
    let [head, history, rule, below] = Layout::vertical(parts).areas(area);
    Parts { head, history, rule, below }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, app: &App, open: &Open, is_above: bool) {
    let name = if open.peer == app.me.name { "notes to yourself".to_owned() } else { open.peer.to_string() };
    let more = if is_above { format!(" {} more below", app.look.sign(Sign::Below)) } else { String::new() };
    let room = usize::from(area.width);
    let words = clip(&about(app, open), room.saturating_sub(width(&name) + width(&more)), app.look.sign(Sign::More));
    let gap = " ".repeat(room.saturating_sub(width(&name) + width(&words) + width(&more)));
    let name = clip(&name, room, app.look.sign(Sign::More));
    let line = Line::from(vec![
        Span::styled(name, style(&app.look, Kind::Strong)),
        Span::styled(words, style(&app.look, Kind::Plain)),
        Span::raw(gap),
        Span::styled(more, style(&app.look, Kind::New)),
    ]);
    frame.render_widget(line, area);
}

/// What is known and was decided of the person.
fn about(app: &App, open: &Open) -> String {
    let peer = &open.peer;
    let mut words = Vec::new();
    if app.typing.contains_key(peer) {
        words.push("is typing");
    }
    // Who does not share it is told as not online: that says nothing.
    if app.presence.get(peer) == Some(&true) {
        words.push("online");
    }
    if let Some(contact) = app.contact(peer) {
        let known = [
            (contact.changed_key, "KEY CHANGED"),
            (contact.verified, "verified"),
            (contact.muted, "muted"),
            (contact.blocked, "blocked"),
        ];
        words.extend(known.iter().filter(|(holds, _)| *holds).map(|(_, word)| *word));
    }
    words.iter().map(|word| format!(", {word}")).collect()
}

fn draw_history(frame: &mut Frame<'_>, parts: &Parts, app: &App, open: &Open, down_to: &[Row]) -> Drawn {
    let (columns, height) = (usize::from(parts.history.width), usize::from(parts.history.height));
    let first = down_to.len().saturating_sub(height);
    let shown = &down_to[first..];
    let line = |row: &Row| {
        let kind = |role| style(&app.look, Kind::from(role));
        let parts = row.parts.iter().map(|(role, text)| Span::styled(text.clone(), kind(*role)));
        let line = Line::from_iter(parts);
        let is_sought = open.sought == Some(row.place.position);
        if is_sought { line.style(style(&app.look, Kind::Chosen)) } else { line }
    };
    // What there is stands at the bottom, next to what is typed.
    let blank = std::iter::repeat_with(Line::default).take(height - shown.len());
    let lines: Vec<_> = blank.chain(shown.iter().map(line)).collect();
    frame.render_widget(Paragraph::new(lines), parts.history);
    if open.is_loaded() && shown.is_empty() {
        let words = format!("Nothing was said yet. What you write is sealed for {}'s devices.", open.peer);
        let lines: Vec<_> = wrap(&words, columns.max(1), columns.max(1)).into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines).style(style(&app.look, Kind::Aside)), parts.history);
    }
    let whole = shown.iter().rev().find(|row| row.place.left == 0);
    let is_focused = app.focus == Focus::Conversation;
    Drawn {
        history: (columns, height),
        at_top: open.is_loaded() && first == 0,
        seen: whole.filter(|_| is_focused).map(|row| (open.peer.clone(), row.place.position)),
    }
}

fn below(area: Rect, app: &App) -> Below {
    let room = usize::from(area.width).max(4);
    let words = |text: String, kind| Below::Words(wrap(&text, room, room), kind);
    let Some(open) = &app.open else { return words(String::new(), Kind::Plain) };
    let peer = &open.peer;
    if app.is_blocked(peer) {
        return words(format!("{peer} is blocked: nothing of theirs is kept. [u] unblock"), Kind::Strong);
    }
    if app.is_request(peer) {
        return words(format!("{peer} is new to you. [a] accept  [b] block  [i] ignore"), Kind::Strong);
    }
    if app.key_has_changed(peer) && open.editor.is_blank() {
        let text = format!("The key of {peer} has changed: nothing is sent until you decide. F2, then k.");
        return words(text, Kind::Bad);
    }
    let (lines, cursor) = input::layout(&open.editor, app.look.ascii, room - PROMPT.len());
    Below::Input { lines, cursor }
}

fn draw_below(frame: &mut Frame<'_>, area: Rect, app: &App, below: Below) {
    let (lines, cursor) = match below {
        Below::Words(words, kind) => {
            let lines: Vec<_> = words.into_iter().map(Line::from).collect();
            frame.render_widget(Paragraph::new(lines).style(style(&app.look, kind)), area);
            return;
        }
        Below::Input { lines, cursor } => input::visible(lines, cursor, area.height.into()),
    };
    let first = if app.is_kept { PROMPT.to_owned() } else { format!("{} ", app.look.sign(Sign::Waiting)) };
    let prompt = |i| if i == 0 { first.as_str() } else { "  " };
    let lines: Vec<_> =
        lines.into_iter().enumerate().map(|(i, line)| Line::from(format!("{}{line}", prompt(i)))).collect();
    frame.render_widget(Paragraph::new(lines), area);
    if app.focus == Focus::Conversation && app.dialog.is_none() {
        let column = u16::try_from(cursor.1 + PROMPT.len()).unwrap_or(u16::MAX);
        let row = u16::try_from(cursor.0).unwrap_or(u16::MAX);
        frame.set_cursor_position(Position::new(area.x.saturating_add(column), area.y.saturating_add(row)));
    }
}
