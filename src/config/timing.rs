//! `[timing]`: times of the protocol and of the delivery rules.

use std::time::Duration;

use sealwire_actors::Timing;

use super::{
    Fault,
    key::{Key, keys},
};

/// The keys of this section.
pub(crate) const KEYS: &[Key] = keys! { "timing", timing;
    log_in "How long after its challenge an `auth` is taken.";
    greeting "How long a connection may stay without logging in; how long a challenge is good for.";
    session "How long a session lasts until it is renewed.";
    renewal "How long before the end of a session the server asks for its renewal.";
    silence "How long a connection that has logged in may be silent.";
    hand_over "How long a device may leave a message without acknowledgement before the message is stored.";
    blocked "How long a peer's socket may stay blocked before the connection is given up.";
    take_over "How long a new connection waits for the one that it replaces to store what it holds.";
    verification "How long a signature check may wait for a thread.";
    store "How long a request of the store may take.";
    store_gone "How long the store may be silent until `/readyz` says that nobody should come here; those who are connected stay. Above the time that a replica set takes to elect.";
    reconnect "How long clients are asked to wait at most before they come back when the node goes (a random share of it each, and of less where they are few: 1 ms for each).";
    rendezvous "How long a connection may stay without logging in from its first `rendezvous` on, and a side of a linking slot is kept.";
    mail_life "How long undelivered mail is kept.";
    sweep "How often it is looked for mail that is over.";
};

/// The longest time that makes sense anywhere here.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// The longest that mail may be kept.
const LONGEST_MAIL: Duration = Duration::from_secs(3_650 * 86_400);

/// Checks ranges and orders.
pub(crate) fn validate(timing: &Timing, faults: &mut Vec<Fault>) {
    let times = [
        ("timing.log_in", timing.log_in),
        ("timing.greeting", timing.greeting),
        ("timing.session", timing.session),
        ("timing.renewal", timing.renewal),
        ("timing.silence", timing.silence),
        ("timing.hand_over", timing.hand_over),
        ("timing.blocked", timing.blocked),
        ("timing.take_over", timing.take_over),
        ("timing.verification", timing.verification),
        ("timing.store", timing.store),
        ("timing.store_gone", timing.store_gone),
        ("timing.rendezvous", timing.rendezvous),
        ("timing.sweep", timing.sweep),
    ];
    for (key, time) in times {
        if time.is_zero() || time > LONGEST {
            faults.push(Fault::new(key, "expected a duration from 1ms to 7d"));
        }
    }
    if timing.mail_life.is_zero() || timing.mail_life > LONGEST_MAIL {
        faults.push(Fault::new("timing.mail_life", "expected a duration from 1ms to 3650d"));
    }
    // Without a wait clients come back at once, which is allowed.
    if timing.reconnect > LONGEST {
        faults.push(Fault::new("timing.reconnect", "expected a duration from 0ms to 7d"));
    }
    if timing.log_in > timing.greeting {
        faults.push(Fault::new("timing.log_in", "expected at most timing.greeting, the life of a challenge"));
    }
    if timing.renewal >= timing.session {
        faults.push(Fault::new("timing.renewal", "expected less than timing.session"));
    }
}
