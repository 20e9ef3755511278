//! This device's own keys, and what it has yet to send.

use std::collections::BTreeMap;

use sealwire_core::rotation::ROTATE_AFTER;

use super::{Finding, Step};
use crate::profile::{Profile, ProfileError, StoredWrapKey};

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// What there is to say of this device's keys at a time, in milliseconds since 1970.
///
/// # Errors
/// [`ProfileError::Keys`], [`ProfileError::Database`].
pub fn keys(profile: &Profile, now: u64) -> Result<Finding, ProfileError> {
    let keys = profile.wrap_keys()?;
    let newest = keys.iter().rfind(|key| key.accepted).or(keys.last());
    Ok(newest.map_or_else(nothing_certified, |key| of_key(key, now)))
}

fn of_key(key: &StoredWrapKey, now: u64) -> Finding {
    const ADVICE: &str =
        "a command that stays connected (`listen`, `chat`) replaces it by itself, once the server answers";
    let Some(cert) = &key.cert else { return nothing_certified() };
    let days = |since: u64| now.saturating_sub(since) / DAY;
    if now > cert.not_after {
        let said = format!(
            "the certificate of the wrap key ended {} days ago: others are warned of an old key",
            days(cert.not_after)
        );
        return Finding::warning(Step::Keys, said, ADVICE);
    }
    if now > key.created.saturating_add(ROTATE_AFTER) {
        let said = format!(
            "the wrap key is {} days old, and should be replaced after {}",
            days(key.created),
            ROTATE_AFTER / DAY
        );
        return Finding::warning(Step::Keys, said, ADVICE);
    }
    Finding::fine(
        Step::Keys,
        format!(
            "the wrap key (number {}) is good for {} days more",
            cert.seq,
            cert.not_after.saturating_sub(now) / DAY
        ),
    )
}

fn nothing_certified() -> Finding {
    Finding::warning(Step::Keys, "this device has no certified wrap key", "type the same registration again")
}

/// What waits in the outbox, and why.
///
/// # Errors
/// [`ProfileError::Database`].
pub fn outbox(profile: &Profile) -> Result<Finding, ProfileError> {
    let mut waiting: BTreeMap<_, usize> = BTreeMap::new();
    for (to, ..) in profile.outbox()? {
        *waiting.entry(to).or_default() += 1;
    }
    if waiting.is_empty() {
        return Ok(Finding::fine(Step::Outbox, "nothing waits to be sent"));
    }
    let mut advice = Vec::new();
    for name in waiting.keys() {
        let contact = profile.contact(name)?;
        if contact.changed_key {
            advice.push(format!("nothing is sent to {name} until you have decided about their new key: safety {name}"));
        } else if contact.blocked {
            advice.push(format!("{name} is blocked: unblock {name}"));
        }
    }
    if advice.len() < waiting.len() {
        advice.push("the rest goes out with the next command that connects".to_owned());
    }
    let counts: Vec<_> = waiting.iter().map(|(name, count)| format!("{count} for {name}")).collect();
    Ok(Finding::warning(Step::Outbox, format!("not sent yet: {}", counts.join(", ")), advice.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use sealwire_protocol::base64::Blob;
    use sealwire_protocol::frames::WrapFrame;

    fn key(created: u64, not_after: u64) -> StoredWrapKey {
        let pkcs8 = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/keys/k0.der")).unwrap();
        let key = sealwire_e2ee::WrapKey::from_pkcs8(&pkcs8).unwrap();
        let signature = Blob(Vec::new());
        let cert = WrapFrame { seq: 3, dwk: Blob(Vec::new()), not_before: created, not_after, signature };
        StoredWrapKey { key, seq: 3, cert: Some(cert), created, replaced_at: None, accepted: true }
    }

    #[test]
    fn keys_are_called_old_when_they_should_be_replaced_and_when_their_certificate_has_ended() {
        let key = key(0, 9 * DAY);
        for (now, warns, words) in
            [(DAY, false, "8 days more"), (8 * DAY, true, "8 days old"), (11 * DAY, true, "ended 2 days ago")]
        {
            let finding = of_key(&key, now);
            assert_eq!(matches!(finding.verdict, Verdict::Warning), warns, "{finding:?}");
            assert!(finding.said.contains(words), "{finding:?}");
        }
    }
}
