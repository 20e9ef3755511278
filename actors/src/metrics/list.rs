//! Every metric of the server, with what it means. docs/metrics.md is made from this list.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises, from 0 at the start of the process.
    Counter,
    /// It rises and falls.
    Gauge,
    /// How often a number fell into which range.
    Histogram,
}

impl Kind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The list: `Variant Kind "name" ["label", ...] "Help."`.
macro_rules! metrics {
    ($( $Variant:ident $Kind:ident $name:literal [$($label:literal),*] $help:literal; )+) => {
        /// A metric of the server. What the process itself shows (`process_*`) stands in no list of ours.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric { $( #[doc = $help] $Variant, )+ }

        impl Metric {
            /// Every metric, in the order of the page.
            pub const ALL: &[Self] = &[$( Self::$Variant, )+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $( Self::$Variant => $name, )+ }
            }

            /// What it means; one line of Markdown.
            pub fn help(self) -> &'static str {
                match self { $( Self::$Variant => $help, )+ }
            }

            /// How it behaves.
            pub fn kind(self) -> Kind {
                match self { $( Self::$Variant => Kind::$Kind, )+ }
            }

            /// The names of its labels.
            pub fn labels(self) -> &'static [&'static str] {
                match self { $( Self::$Variant => &[$($label),*], )+ }
            }
        }
    };
}

metrics! {
    BuildInfo Gauge "sealwire_build_info" ["version"] "Always 1; the label is the version of the server.";
    Ready Gauge "sealwire_ready" [] "1 while `/readyz` says that connections may come here, else 0.";
    Draining Gauge "sealwire_draining" [] "1 while the node is about to go, else 0.";

    Connections Gauge "sealwire_connections" [] "WebSocket connections that are open.";
    ConnectionsGreeting Gauge "sealwire_connections_greeting" [] "Those of them that have not logged in.";
    ConnectionsOpened Counter "sealwire_connections_opened_total" [] "Connections that were taken.";
    ConnectionsRefused Counter "sealwire_connections_refused_total" ["reason"] "Upgrades to WebSocket that were refused.";
    ConnectionsClosed Counter "sealwire_connections_closed_total" ["reason"] "Connections that the server has closed, by the name of the close code. Those that their clients ended are not among them.";

    Sessions Gauge "sealwire_sessions" [] "Devices that are logged in.";
    SessionsDraining Gauge "sealwire_sessions_draining" [] "Those of them whose new mail goes into the store, because earlier mail waits there.";
    LogIns Counter "sealwire_log_ins_total" ["outcome"] "Registrations, log-ins and first log-ins of devices: accepted, or the error that they got.";
    MailboxAtLogIn Histogram "sealwire_mailbox_messages_at_log_in" [] "How many messages waited for each device that logged in.";

    FramesReceived Counter "sealwire_frames_received_total" [] "Frames from clients, pings and pongs included.";
    BytesReceived Counter "sealwire_bytes_received_total" [] "Bytes of text frames from clients.";
    FramesSent Counter "sealwire_frames_sent_total" [] "Text frames to clients.";
    BytesSent Counter "sealwire_bytes_sent_total" [] "Bytes of text frames to clients.";
    Errors Counter "sealwire_errors_total" ["code"] "Error frames to clients.";
    LimitsHit Counter "sealwire_limits_hit_total" ["limit"] "Requests that were refused for their number.";

    MessagesAccepted Counter "sealwire_messages_accepted_total" [] "Messages that were taken from their senders, repeats that had to be looked up again included.";
    Messages Counter "sealwire_messages_total" ["status"] "Messages by the first status that their senders were told: `delivered` when they were handed over, `queued` when they were stored, `refused` when neither was possible.";
    FirstStatus Histogram "sealwire_first_status_seconds" ["status"] "From taking a message to its first status. For `delivered` the way to the device and back is in it.";
    MessagesUndecided Gauge "sealwire_messages_undecided" [] "Messages that were taken and have no status yet.";
    CopiesInFlight Gauge "sealwire_copies_in_flight" [] "Copies that were handed to devices and are not acknowledged.";
    InboxParcels Gauge "sealwire_inbox_parcels" [] "Copies that wait for sessions to take them.";
    CopiesStored Counter "sealwire_copies_to_store_total" ["cause"] "Copies that went to the store rather than to their device.";

    SpoolEntries Gauge "sealwire_spool_entries" [] "Changes that wait for the next commit.";
    SpoolBytes Gauge "sealwire_spool_bytes" [] "Bytes of the copies among them.";
    SpoolAppends Counter "sealwire_spool_appends_total" ["outcome"] "Copies that were to be stored, by what became of them.";
    SpoolRemovals Counter "sealwire_spool_removals_total" [] "Acknowledged copies that were taken out of the store.";
    CommitEntries Histogram "sealwire_commit_entries" [] "Changes that one commit made durable together.";
    CommitsFailed Counter "sealwire_commits_failed_total" [] "Commits that the store did not make.";

    StoreUp Gauge "sealwire_store_up" [] "1 while the store answers within a second, else 0; asked at most once a second.";
    StoreSeconds Histogram "sealwire_store_seconds" ["operation"] "How long the store took for what it was asked.";
    StoreErrors Counter "sealwire_store_errors_total" ["kind"] "What the store did not do: `unavailable`, `damaged`, or `too_late` when the answer was not waited for any longer.";

    BusLinked Gauge "sealwire_bus_linked" [] "1 while the node hears the others, else 0. A node alone has no metric of this group.";
    BusLeaseHeld Gauge "sealwire_bus_lease_held" [] "1 while the node counts for the others, else 0; without it everything goes through the store, with a sweep.";
    BusPeers Gauge "sealwire_bus_peers" [] "Other nodes that live.";
    BusFramesWaiting Gauge "sealwire_bus_frames_waiting" [] "Frames that wait to be published.";
    BusLinks Counter "sealwire_bus_links_total" [] "How often the node was linked; all but the first are reconnects.";
    BusLeasesLost Counter "sealwire_bus_leases_lost_total" [] "How often the node has lost its lease.";
    BusFramesSent Counter "sealwire_bus_frames_sent_total" [] "Frames that were published for other nodes.";
    BusFramesReceived Counter "sealwire_bus_frames_received_total" [] "Frames from other nodes.";
    BusFramesDropped Counter "sealwire_bus_frames_dropped_total" [] "Frames that could not go: no link, no room, or a publish that failed.";
    BusFramesUnheard Counter "sealwire_bus_frames_unheard_total" [] "Frames that were published and that nobody heard.";
    BusPublishes Counter "sealwire_bus_publishes_total" [] "Publishes; a busy link needs far fewer than frames.";
    BusBytes Counter "sealwire_bus_bytes_total" [] "Bytes in the publishes.";
    BusGaps Counter "sealwire_bus_gaps_total" [] "How often frames of another node were missing, or may have been.";

    BusSeconds Histogram "sealwire_bus_seconds" ["operation"] "How long the bus took for what it was asked. Frames from node to node are not among it: nobody waits for an answer.";
    BusErrors Counter "sealwire_bus_errors_total" ["kind"] "What the bus did not do: `unavailable`, or `too_late` when the answer was not waited for any longer.";

    VerificationsWaiting Gauge "sealwire_verifications_waiting" [] "Requests whose signatures wait for a thread.";
    Verifications Counter "sealwire_verifications_total" ["outcome"] "Requests whose signatures were to be checked.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_as_prometheus_wants_them() {
        let names: HashSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(name.starts_with("sealwire_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind() == Kind::Counter, "{name}");
            assert!(!metric.help().is_empty() && !metric.help().contains(['\n', '|']), "{name}");
        }
    }
}
