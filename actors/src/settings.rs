//! What an operator may set of the broker: the limits of protocol section 8 and the times that the delivery rules use.

use std::time::Duration;

/// Limits on what a peer can make the node hold or compute (protocol section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Messages of one user in any 60 s, over all devices; 0 is no limit.
    pub messages_per_minute: u32,
    /// Frames of one connection in any second, acknowledgements that move forward left out; 0 is no limit.
    pub frames_per_second: u32,
    /// Bytes of one frame, in either direction.
    pub frame_bytes: usize,
    /// Frames of a connection before it has logged in.
    pub greeting_frames: u32,
    /// Bytes of a connection before it has logged in.
    pub greeting_bytes: usize,
    /// Connections of the node that have not logged in.
    pub greeting_connections: usize,
    /// Live connections of one account on this node.
    pub connections_per_account: usize,
    /// Messages that a device's mailbox takes.
    pub mailbox_messages: u64,
    /// Bytes that a device's mailbox takes.
    pub mailbox_bytes: u64,
    /// Messages of one sender that a device's mailbox takes.
    pub mailbox_messages_per_sender: u64,
    /// Messages handed to a device that it has not acknowledged.
    pub window_messages: usize,
    /// Bytes handed to a device that it has not acknowledged.
    pub window_bytes: usize,
    /// Key look-ups of one connection in any minute; 0 is no limit.
    pub key_lookups_per_minute: u32,
    /// Names that one user may look up in a day; 0 is no limit.
    pub names_per_day: usize,
    /// Signature checks that may wait for a thread.
    pub verifications_waiting: usize,
    /// Signals of one connection in any minute; 0 is no limit.
    pub signals_per_minute: u32,
    /// Names whose presence one connection may watch.
    pub presence_subscriptions: usize,
    /// Frames of a connection that has not logged in, from its first `rendezvous` on.
    pub rendezvous_frames: u32,
    /// Sides of linking slots that are kept at a time, of 64 KiB at most each.
    pub rendezvous_entries: usize,
    /// How often a backup may be asked for in an hour, from one address for one name; 0 is no limit.
    pub backups_per_hour: u32,
    /// Backups that one account may put in any hour; 0 is no limit.
    pub backup_puts_per_hour: u32,
    /// `devices` of one account in any hour, sent after a log-in; 0 is no limit.
    pub devices_per_hour: u32,
    /// Manifests of one account in any day, those left out that only remove devices; 0 is no limit.
    pub links_per_day: u32,
    /// `rotate` of one account in any hour; 0 is no limit.
    pub rotations_per_hour: u32,
    /// How often one account may begin or end to share its presence in any hour; 0 is no limit.
    pub presence_changes_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages_per_minute: 50,
            frames_per_second: 100,
            frame_bytes: 1024 * 1024,
            greeting_frames: 4,
            greeting_bytes: 24 * 1024,
            greeting_connections: 4_000,
            connections_per_account: 10,
            mailbox_messages: 10_000,
            mailbox_bytes: 100 * 1024 * 1024,
            mailbox_messages_per_sender: 1_000,
            window_messages: 256,
            window_bytes: 1024 * 1024,
            key_lookups_per_minute: 60,
            names_per_day: 500,
            verifications_waiting: 1_000,
            signals_per_minute: 120,
            presence_subscriptions: 500,
            rendezvous_frames: 400,
            rendezvous_entries: 2_000,
            backups_per_hour: 5,
            backup_puts_per_hour: 120,
            devices_per_hour: 60,
            links_per_day: 50,
            rotations_per_hour: 60,
            presence_changes_per_hour: 60,
        }
    }
}

/// Times of the protocol and of the delivery rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How long after its challenge an `auth` is taken.
    pub log_in: Duration,
    /// How long a connection may stay without logging in; how long a challenge is good for.
    pub greeting: Duration,
    /// How long a session lasts until it is renewed.
    pub session: Duration,
    /// How long before the end of a session the server asks for its renewal.
    pub renewal: Duration,
    /// How long a logged-in connection may be silent.
    pub silence: Duration,
    /// How long a device may leave a message without acknowledgement before the message is stored.
    pub hand_over: Duration,
    /// How long the peer's socket may stay blocked before the connection is given up.
    pub blocked: Duration,
    /// How long a new connection waits for the one that it replaces to store what it holds.
    pub take_over: Duration,
    /// How long a signature check may wait for a thread.
    pub verification: Duration,
    /// How long the store may be silent until the node is not ready any more.
    pub store_gone: Duration,
    /// How long a request of the store may take.
    pub store: Duration,
    /// How long clients are asked to wait at most before they come back when the node goes (a random share of it each, and
    /// of less where they are few).
    pub reconnect: Duration,
    /// How long a connection may stay without logging in from its first `rendezvous` on, and a side of a slot is kept.
    pub rendezvous: Duration,
    /// How long undelivered mail is kept.
    pub mail_life: Duration,
    /// How often it is looked for mail that is over.
    pub sweep: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            log_in: seconds(10),
            greeting: seconds(30),
            session: seconds(3_600),
            renewal: seconds(60),
            silence: seconds(75),
            hand_over: seconds(2),
            blocked: seconds(20),
            take_over: seconds(2),
            verification: seconds(2),
            store: seconds(5),
            store_gone: seconds(15),
            reconnect: seconds(2),
            rendezvous: seconds(600),
            mail_life: seconds(30 * 86_400),
            sweep: seconds(60),
        }
    }
}

/// What the broker is started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Limits on peers.
    pub limits: Limits,
    /// Times.
    pub timing: Timing,
}
