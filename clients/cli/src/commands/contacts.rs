//! `contacts`, `block` and `unblock`: what was decided about people.

use sealwire_client::Profile;
use sealwire_client::conversation::{Contact, Standing};
use sealwire_client::outbox::Outbox;
use sealwire_client::profile::ProfileError;
use sealwire_protocol::Username;
use serde_json::{Value, json};

use super::print;
use crate::arguments::{Arguments, Contacts, Decision, Whom};
use crate::exit::Failure;
use crate::profile;
use crate::terminal::complain;

/// Lists everybody who is known, or decides about one.
pub(crate) fn run(arguments: &Arguments, command: &Contacts) -> Result<(), Failure> {
    match &command.decision {
        None => list(arguments),
        Some(Decision::Accept(whom)) => decide(arguments, &whom.name, Profile::accept),
        Some(Decision::Mute(whom)) => decide(arguments, &whom.name, |profile, name| profile.set_muted(name, true)),
        Some(Decision::Unmute(whom)) => decide(arguments, &whom.name, |profile, name| profile.set_muted(name, false)),
    }
}

/// Nothing of theirs is kept or shown, and nothing is sent to them; or it is again.
pub(crate) fn block(arguments: &Arguments, command: &Whom, blocked: bool) -> Result<(), Failure> {
    decide(arguments, &command.name, |profile, name| {
        profile.set_blocked(name, blocked)?;
        if blocked { give_up(profile, name) } else { Ok(()) }
    })
}

/// What waits for somebody, and of which nothing ever left this device, is not sent any more.
fn give_up(profile: &mut Profile, name: &Username) -> Result<(), ProfileError> {
    let mut outbox = Outbox::default();
    for (to, id, sealed, replaced) in profile.outbox()? {
        outbox.push(&to, id, sealed, replaced);
    }
    profile.withdraw(&outbox.withdraw_unsealed(name))
}

fn list(arguments: &Arguments) -> Result<(), Failure> {
    let contacts = profile::open_existing(arguments)?.contacts()?;
    for contact in &contacts {
        print(arguments.json, &contact_json(contact), || in_words(contact))?;
    }
    if contacts.is_empty() && !arguments.json {
        complain("nobody is known yet; to begin, type: sealwire-chat send NAME TEXT");
    }
    Ok(())
}

fn decide(
    arguments: &Arguments,
    name: &Username,
    decision: impl FnOnce(&mut Profile, &Username) -> Result<(), ProfileError>,
) -> Result<(), Failure> {
    let mut profile = profile::open_registered(arguments)?;
    if profile.account()?.username == *name {
        return Err(Failure::failed(format!("{name} is you; this is for other people")));
    }
    decision(&mut profile, name)?;
    let contact = profile.contact(name)?;
    print(arguments.json, &contact_json(&contact), || in_words(&contact))
}

fn in_words(contact: &Contact) -> String {
    format!("{}  {}", contact.name, marks(contact)).trim_end().to_owned()
}

/// What there is to know of a contact, in words.
pub(super) fn marks(contact: &Contact) -> String {
    let marks = [
        (contact.changed_key, "KEY CHANGED, nothing is sent: see `safety`"),
        (contact.blocked, "blocked"),
        (contact.standing == Standing::Request, "request"),
        (contact.muted, "muted"),
        (contact.verified, "verified"),
    ];
    marks.iter().filter(|(holds, _)| *holds).map(|(_, words)| *words).collect::<Vec<_>>().join(", ")
}

pub(super) fn contact_json(contact: &Contact) -> Value {
    json!({
        "name": contact.name,
        "verified": contact.verified,
        "blocked": contact.blocked,
        "muted": contact.muted,
        "request": contact.standing == Standing::Request,
        "changedKey": contact.changed_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_stands_first() {
        let contact = Contact {
            name: "bob".parse().unwrap(),
            verified: true,
            blocked: false,
            muted: true,
            standing: Standing::Request,
            changed_key: true,
        };
        assert_eq!(in_words(&contact), "bob  KEY CHANGED, nothing is sent: see `safety`, request, muted, verified");
        let plain =
            Contact { verified: false, muted: false, standing: Standing::Accepted, changed_key: false, ..contact };
        assert_eq!(in_words(&plain), "bob");
    }
}
