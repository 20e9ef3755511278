//! `[limits]`: what a peer may make the node hold or compute (protocol section 8). The broker's limits and those of the
//! HTTP edge stand in one section, since to an operator they are one thing.

use sealwire_actors::Limits;

use super::{
    Fault,
    key::{Key, keys, section},
};

section! {
    /// Limits on connections, before the broker hears of them.
    struct EdgeLimits in "limits" at edge;

    #[doc = "Connections of the node; one more is answered with HTTP 503."]
    max_connections: usize = 20_000;
    #[doc = "Connections from one IP address (IPv6: from one /64); one more is answered with HTTP 429. 0 is no limit."]
    connections_per_ip: usize = 100;
    #[doc = "New connections from one IP address (IPv6: from one /64) in any 10 s; one more is answered with HTTP 429. 0 is no limit."]
    new_connections_per_ip: usize = 20;
}

/// The keys of the broker's limits.
pub(crate) const BROKER_KEYS: &[Key] = keys! { "limits", limits;
    messages_per_minute "Messages of one user in any 60 s, over all devices; 0 is no limit.";
    frames_per_second "Frames of one connection in any second, acknowledgements that move forward left out; 0 is no limit.";
    frame_bytes "Bytes of one frame, in either direction.";
    greeting_frames "Frames of a connection before it has logged in.";
    greeting_bytes "Bytes of a connection before it has logged in.";
    greeting_connections "Connections of the node that have not logged in; one more is answered with HTTP 503.";
    connections_per_account "Live connections of one account on this node.";
    mailbox_messages "Messages that a device's mailbox takes while the device is away.";
    mailbox_bytes "Bytes that a device's mailbox takes while the device is away.";
    mailbox_messages_per_sender "Messages of one sender that a device's mailbox takes.";
    window_messages "Messages handed to a device that it has not acknowledged; further ones wait in the store.";
    window_bytes "Bytes handed to a device that it has not acknowledged; further messages wait in the store.";
    key_lookups_per_minute "Key look-ups of one connection in any minute; 0 is no limit.";
    names_per_day "Names that one user may look up in a day; 0 is no limit.";
    verifications_waiting "Signature checks that may wait for a thread; one more is answered with `server_busy`.";
    signals_per_minute "Signals of one connection in any minute; 0 is no limit.";
    presence_subscriptions "Names whose presence one connection may watch.";
    rendezvous_frames "Frames of a connection that has not logged in, from its first `rendezvous` on.";
    rendezvous_entries "Sides of linking slots that are kept at a time, of 64 KiB at most each.";
    backups_per_hour "How often a backup may be asked for in an hour, from one address for one name; 0 is no limit.";
    backup_puts_per_hour "Backups that one account may put in any hour; 0 is no limit.";
    devices_per_hour "`devices` of one account in any hour, sent after a log-in; 0 is no limit.";
    links_per_day "Manifests of one account in any day, those left out that only remove devices; 0 is no limit.";
    rotations_per_hour "`rotate` of one account in any hour; 0 is no limit.";
    presence_changes_per_hour "How often one account may begin or end to share its presence in any hour; 0 is no limit.";
};

impl EdgeLimits {
    /// Checks ranges.
    pub(crate) fn validate(&self, faults: &mut Vec<Fault>) {
        // The counters keep one time stamp for each new connection.
        if self.new_connections_per_ip > 100_000 {
            faults.push(Fault::new("limits.new_connections_per_ip", "expected a whole number from 0 to 100000"));
        }
        if !(1..=10_000_000).contains(&self.max_connections) {
            faults.push(Fault::new("limits.max_connections", "expected a whole number from 1 to 10000000"));
        }
    }
}

/// Checks the ranges of the broker's limits.
pub(crate) fn validate(limits: &Limits, faults: &mut Vec<Fault>) {
    // Smaller ones would refuse a registration, or a message to a few devices.
    let mut range = |key: &str, value: u64, least: u64, most: u64| {
        if !(least..=most).contains(&value) {
            faults.push(Fault::new(key, format!("expected a whole number from {least} to {most}")));
        }
    };
    let any = u64::MAX >> 1;
    range("limits.frame_bytes", limits.frame_bytes as u64, 16 * 1024, 64 * 1024 * 1024);
    range("limits.greeting_frames", limits.greeting_frames.into(), 1, any);
    range("limits.greeting_bytes", limits.greeting_bytes as u64, 8 * 1024, any);
    range("limits.greeting_connections", limits.greeting_connections as u64, 1, any);
    range("limits.connections_per_account", limits.connections_per_account as u64, 1, any);
    range("limits.mailbox_messages", limits.mailbox_messages, 1, any);
    range("limits.mailbox_bytes", limits.mailbox_bytes, 1, any);
    range("limits.mailbox_messages_per_sender", limits.mailbox_messages_per_sender, 1, any);
    range("limits.window_messages", limits.window_messages as u64, 1, any);
    range("limits.window_bytes", limits.window_bytes as u64, 1, any);
    range("limits.verifications_waiting", limits.verifications_waiting as u64, 1, any);
    range("limits.rendezvous_frames", limits.rendezvous_frames.into(), 1, any);
    range("limits.rendezvous_entries", limits.rendezvous_entries as u64, 1, any);
}
