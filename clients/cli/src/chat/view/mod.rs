//! Draws the state, and says what of it was seen.

mod conversation;
mod dialogs;
mod input;
mod list;
mod style;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::look::Sign;
use super::state::{App, Drawn, Focus, Link};
use super::text::{clip, shown, width, wrap};
use style::{Kind, style};

/// The smallest window in which anything is shown, in columns and lines.
pub(crate) const SMALLEST: (u16, u16) = (20, 6);
/// From this width on the list stands beside the conversation.
const SIDE_BY_SIDE: u16 = 60;
/// From this height on there is room for a line that names keys.
const WITH_HINTS: u16 = 12;

/// Draws all of it.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App) -> Drawn {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(frame, area);
        return Drawn::default();
    }
    let notice = notice_lines(app, area);
    let hints = u16::from(area.height >= WITH_HINTS);
    let parts =
        [Constraint::Length(1), Constraint::Length(height(&notice)), Constraint::Min(1), Constraint::Length(hints)];
    let [title, warned, body, below] = Layout::vertical(parts).areas(area);
    draw_title(frame, title, app);
    frame.render_widget(Paragraph::new(notice), warned);
    let drawn = draw_body(frame, body, app);
    if hints > 0 {
        frame.render_widget(hint_line(app, below), below);
    }
    if let Some(dialog) = &app.dialog {
        dialogs::draw(frame, area, app, dialog);
    }
    drawn
}

fn height(lines: &[Line<'_>]) -> u16 {
    u16::try_from(lines.len()).unwrap_or(u16::MAX)
}

fn draw_body(frame: &mut Frame<'_>, area: Rect, app: &App) -> Drawn {
    if area.width < SIDE_BY_SIDE {
        return match app.focus {
            Focus::Conversation => conversation::draw(frame, area, app),
            Focus::List => {
                list::draw(frame, area, app);
                Drawn { history: conversation::size(area, app), ..Drawn::default() }
            }
        };
    }
    let left = (area.width / 4).clamp(20, 30);
    let parts = [Constraint::Length(left), Constraint::Length(1), Constraint::Min(1)];
    let [names, bar, right] = Layout::horizontal(parts).areas(area);
    list::draw(frame, names, app);
    let sign = Span::styled(app.look.sign(Sign::Bar), style(&app.look, Kind::Aside));
    frame.render_widget(Paragraph::new(vec![Line::from(sign); bar.height.into()]), bar);
    conversation::draw(frame, right, app)
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let words = format!("Please make this window larger: {} columns and {} lines are enough.", SMALLEST.0, SMALLEST.1);
    let lines = wrap(&words, area.width.into(), area.width.into());
    frame.render_widget(Paragraph::new(lines.into_iter().map(Line::from).collect::<Vec<_>>()), area);
}

/// Who one is, and whether there is a connection: if not, why, and that it comes back by itself.
fn draw_title(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let look = &app.look;
    let link = match &app.link {
        Link::Connecting => format!("{} connecting{}", look.sign(Sign::Away), look.sign(Sign::More)),
        Link::Online => format!("{} connected", look.sign(Sign::Here)),
        Link::Offline(why) => {
            format!("{} not connected, trying again by itself: {}", look.sign(Sign::Away), shown(why, look.ascii))
        }
    };
    let room = usize::from(area.width);
    let words = clip(&format!(" {}  {link}", app.me.name), room, look.sign(Sign::More));
    let filled = format!("{words}{}", " ".repeat(room - width(&words)));
    let kind = if matches!(app.link, Link::Offline(_)) { Kind::TitleOffline } else { Kind::Title };
    frame.render_widget(Line::styled(filled, style(look, kind)), area);
}

/// The first of the warnings that were not dismissed, and how many there are.
fn notice_lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(notice) = app.notices.first() else { return Vec::new() };
    let (room, most) = (usize::from(area.width).max(1), usize::from(area.height / 3).max(1));
    let how = match app.notices.len() {
        1 => " [Esc: seen]".to_owned(),
        count => format!(" [1 of {count}; Esc: seen]"),
    };
    let mut lines = wrap(&format!("{} {}", app.look.sign(Sign::Lost), shown(notice, app.look.ascii)), room, room);
    let is_cut = lines.len() > most;
    lines.truncate(most);
    let last = lines.last_mut().expect("wrapping gives a line");
    if is_cut || width(last) + how.len() > room {
        *last = clip(&format!("{last}{}", " ".repeat(room)), room.saturating_sub(how.len()), app.look.sign(Sign::More));
    }
    last.push_str(&how);
    let kind = style(&app.look, Kind::Warning);
    let pad = |line: String| format!("{line}{}", " ".repeat(room.saturating_sub(width(&line))));
    lines.into_iter().map(|line| Line::styled(pad(line), kind)).collect()
}

fn hint_line(app: &App, area: Rect) -> Line<'static> {
    let hints: &[&str] = match app.focus {
        Focus::List => &["? help", "Enter open", "n new", "/ search", "F2 person", "F3 you", "q quit"],
        Focus::Conversation => {
            &["F1 help", "Enter send", "Alt-Enter new line", "Tab list", "Ctrl-F search", "F2 person", "Ctrl-Q quit"]
        }
    };
    let mut line = String::new();
    for hint in hints {
        if width(&line) + hint.len() + 3 <= usize::from(area.width) {
            line.push_str(&format!(" {hint}  "));
        }
    }
    Line::styled(line, style(&app.look, Kind::Aside))
}

#[cfg(test)]
mod tests;
