//! A conversation as lines of a certain width.

use std::collections::BTreeMap;

use sealwire_client::conversation::{Entry, EntryState};
use sealwire_protocol::ids::MessageId;

use super::look::{Look, Sign};
use super::state::Open;
use super::text::{clip, lines, width, wrap};

/// Names a line: it keeps its name when others come before it or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of which message.
    pub(crate) position: i64,
    /// How many lines of that message come after it.
    pub(crate) left: usize,
}

/// What a part of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Plain,
    /// Days, times, remarks.
    Aside,
    /// One's own name.
    Own,
    /// Somebody else's name.
    Other,
    /// How far a message has come.
    Tick,
    /// That it has not.
    Bad,
    /// Where the new ones begin.
    New,
}

/// A line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) place: Place,
    pub(crate) parts: Vec<(Role, String)>,
}

/// What the lines depend on beside the conversation itself.
pub(crate) struct Setting<'a> {
    pub(crate) look: &'a Look,
    pub(crate) failures: &'a BTreeMap<MessageId, String>,
    /// Columns and lines that there are.
    pub(crate) size: (usize, usize),
}

/// The names of all lines of what is loaded.
pub(crate) fn places(open: &Open, setting: &Setting<'_>) -> Vec<Place> {
    rows(open, setting).into_iter().map(|row| row.place).collect()
}

/// All lines of what is loaded.
pub(crate) fn rows(open: &Open, setting: &Setting<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut day = String::new();
    for entry in &open.entries {
        let mut own = Vec::new();
        let (this_day, minute) = setting.look.time(entry.timestamp);
        if this_day != day {
            own.push(rule(&this_day, Role::Aside, setting));
            day = this_day;
        }
        if open.new_from == Some(entry.position) {
            own.push(rule("new", Role::New, setting));
        }
        own.extend(message(entry, &minute, setting));
        let count = own.len();
        let place = |i| Place { position: entry.position, left: count - 1 - i };
        rows.extend(own.into_iter().enumerate().map(|(i, parts)| Row { place: place(i), parts }));
    }
    rows
}

fn rule(words: &str, role: Role, setting: &Setting<'_>) -> Vec<(Role, String)> {
    let line = setting.look.sign(Sign::Rule);
    let words = clip(words, setting.size.0.saturating_sub(4), setting.look.sign(Sign::More));
    let left = setting.size.0.saturating_sub(width(&words) + 4);
    vec![(role, format!("{line}{line} {words} {}", line.repeat(left)))]
}

/// `09:21 bob: what was said`; lines after the first are indented, so that none passes for a message of its own.
fn message(entry: &Entry, minute: &str, setting: &Setting<'_>) -> Vec<Vec<(Role, String)>> {
    let (role, name) = if entry.own { (Role::Own, "you".to_owned()) } else { (Role::Other, entry.from.to_string()) };
    let head = vec![(Role::Aside, format!("{minute} ")), (role, format!("{name}: "))];
    let taken = minute.len() + name.len() + 3;
    let indent = if setting.size.0 >= 32 { minute.len() + 1 } else { 2 };
    let rest = setting.size.0.saturating_sub(indent).max(4);
    // A long name in a narrow window has a line of its own.
    let (mut out, first) = match setting.size.0.checked_sub(taken).filter(|room| *room * 3 >= setting.size.0) {
        Some(room) => (vec![head], Some(room)),
        None => (vec![clipped(head, setting), Vec::new()], None),
    };
    let (role, words) = match &entry.text {
        Some(text) => (Role::Plain, lines(text, setting.look.ascii)),
        None => (Role::Aside, vec!["(of a kind that this version does not know)".to_owned()]),
    };
    for (i, line) in words.iter().enumerate() {
        let room = if i == 0 { first.unwrap_or(rest) } else { rest };
        for (k, piece) in wrap(line, room, rest).into_iter().enumerate() {
            if i + k > 0 {
                out.push(Vec::new());
            }
            push(&mut out, role, piece, indent);
        }
    }
    for (role, remark) in remarks(entry, setting) {
        remarked(&mut out, role, &remark, (indent, rest), setting.size.0);
    }
    out
}

fn clipped(head: Vec<(Role, String)>, setting: &Setting<'_>) -> Vec<(Role, String)> {
    let mut room = setting.size.0;
    let mut out = Vec::new();
    for (role, text) in head {
        let text = clip(&text, room, setting.look.sign(Sign::More));
        room -= width(&text);
        out.push((role, text));
    }
    out
}

/// Adds to the last line, which is indented when it is a new one.
fn push(out: &mut [Vec<(Role, String)>], role: Role, text: String, indent: usize) {
    let last = out.last_mut().expect("a message has a line");
    if last.is_empty() {
        last.push((Role::Plain, " ".repeat(indent)));
    }
    last.push((role, text));
}

/// Adds a remark behind the text where there is room, else below.
fn remarked(out: &mut Vec<Vec<(Role, String)>>, role: Role, remark: &str, (indent, rest): (usize, usize), room: usize) {
    let used: usize = out.last().into_iter().flatten().map(|(_, text)| width(text)).sum();
    if used + 1 + width(remark) <= room {
        push(out, role, format!(" {remark}"), indent);
        return;
    }
    for piece in wrap(remark, rest, rest) {
        out.push(Vec::new());
        push(out, role, piece, indent);
    }
}

/// How far a message has come, and what else is to be said of it.
fn remarks(entry: &Entry, setting: &Setting<'_>) -> Vec<(Role, String)> {
    let sign = |sign| setting.look.sign(sign).to_owned();
    let lost = |words: &str| (Role::Bad, format!("{} {words}", sign(Sign::Lost)));
    let mut remarks = Vec::new();
    if entry.from_removed_device {
        remarks.push((Role::Aside, "(from a device that was removed)".to_owned()));
    }
    match entry.state {
        EntryState::Received => {}
        EntryState::Waiting => remarks.push((Role::Tick, sign(Sign::Waiting))),
        EntryState::Queued => remarks.push((Role::Tick, sign(Sign::Queued))),
        EntryState::Delivered => remarks.push((Role::Tick, sign(Sign::Delivered))),
        EntryState::Expired => remarks.push(lost("not fetched in time")),
        EntryState::Failed => match setting.failures.get(&entry.message_id) {
            Some(reason) => {
                remarks.push(lost(&format!("not sent: {}", super::text::shown(reason, setting.look.ascii))))
            }
            None => remarks.push(lost("not sent")),
        },
    }
    remarks
}
