//! How kinds of text look. Colours come on top: each kind can be told without them.

use ratatui::style::{Color, Modifier, Style};

use crate::chat::look::Look;
use crate::chat::rows::Role;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Title,
    TitleOffline,
    Warning,
    /// Times, rules, hints.
    Aside,
    /// Names, headings, what is unread.
    Strong,
    Own,
    Other,
    Tick,
    Bad,
    New,
    /// Where the cursor of a list is.
    Chosen,
}

impl From<Role> for Kind {
    fn from(role: Role) -> Self {
        match role {
            Role::Plain => Self::Plain,
            Role::Aside => Self::Aside,
            Role::Own => Self::Own,
            Role::Other => Self::Other,
            Role::Tick => Self::Tick,
            Role::Bad => Self::Bad,
            Role::New => Self::New,
        }
    }
}

/// Only the sixteen colours that every terminal lets people choose for themselves.
pub(super) fn style(look: &Look, kind: Kind) -> Style {
    let (modifier, colour) = match kind {
        Kind::Plain => (Modifier::empty(), None),
        Kind::Title | Kind::Chosen => (Modifier::REVERSED, None),
        Kind::TitleOffline => (Modifier::REVERSED | Modifier::BOLD, Some(Color::Yellow)),
        Kind::Warning => (Modifier::REVERSED | Modifier::BOLD, Some(Color::Red)),
        Kind::Aside => (Modifier::DIM, None),
        Kind::Strong => (Modifier::BOLD, None),
        Kind::Own => (Modifier::empty(), Some(Color::Green)),
        Kind::Other => (Modifier::BOLD, Some(Color::Cyan)),
        Kind::Tick => (Modifier::empty(), Some(Color::Green)),
        Kind::Bad => (Modifier::BOLD, Some(Color::Red)),
        Kind::New => (Modifier::BOLD, Some(Color::Yellow)),
    };
    let style = Style::new().add_modifier(modifier);
    colour.filter(|_| look.colour).map_or(style, |colour| style.fg(colour))
}
