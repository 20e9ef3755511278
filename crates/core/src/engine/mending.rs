//! One's own chain at a server that has forgotten a part of it: what [`crate::mending`] decides is done here.

use std::borrow::Cow;

use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{ClientFrame, Devices, ErrorFrame, Request};

use super::Core;
use crate::convert::{manifest_from_frame, manifest_to_frame};
use crate::error::Error;
use crate::mending::Mend;
use crate::pins::{Learned, PinError};
use crate::storage::Storage;

impl<S: Storage> Core<S> {
    /// After an answer for one's own account; says whether it is not complete yet.
    pub(super) fn mend_after(&mut self, learned: &Learned) -> Result<bool, Error> {
        let step = self.mending.answered(learned, self.own_version());
        step.map_or(Ok(false), |step| self.mend(step).map(|()| true))
    }

    fn mend(&mut self, step: Mend) -> Result<(), Error> {
        let me = self.account.username.clone();
        match step {
            Mend::Ask => self.lookups.want(&me),
            Mend::Tell(version) => self.tell_link(version),
            Mend::GoneBack => self.keys_refused(&me, PinError::GoneBack)?,
        }
        Ok(())
    }

    /// The newest version of one's own chain; 0 when nothing is known.
    fn own_version(&self) -> u64 {
        self.people.get(&self.account.username).map_or(0, |me| me.chain().newest().version)
    }

    fn tell_link(&mut self, version: u64) {
        let chain = self.people[&self.account.username].chain();
        let link = chain.manifests().find(|link| link.manifest.version == version);
        let manifest = manifest_to_frame(link.expect("only links of the known chain are told"));
        let request = Request::Devices(Box::new(Devices { username: None, manifest }));
        self.say(ClientFrame { id: Some(Cow::Owned(link_id(version))), ack: None, request }.to_json());
    }

    /// `devices` was answered.
    pub(super) fn link_taken(&mut self, id: Option<&str>) -> Result<(), Error> {
        if !self.is_told_link(id) {
            return Ok(());
        }
        let step = self.mending.taken(self.own_version());
        step.map_or(Ok(()), |step| self.mend(step))
    }

    /// Takes an error that answers a link that was told; says whether it did.
    pub(super) fn link_refused(&mut self, error: &ErrorFrame) -> Result<bool, Error> {
        if !self.is_told_link(error.id.as_deref()) {
            return Ok(false);
        }
        let me = self.account.username.clone();
        match error.code {
            code if code.may_have_arrived() => {
                self.mending.later();
                self.lookups.refused_for_now(&me, error.retry_after_ms, self.now.ticks);
            }
            ErrorCode::ManifestConflict => {
                if let Err(reason) = self.compare_links(error) {
                    self.keys_refused(&me, reason)?;
                }
                self.mending.refused();
                self.lookups.want(&me);
            }
            _ => self.keys_refused(&me, PinError::GoneBack)?,
        }
        Ok(true)
    }

    /// What the server holds in place of a link must be that link, or continue the chain.
    fn compare_links(&self, error: &ErrorFrame) -> Result<(), PinError> {
        let mut chain = self.people[&self.account.username].chain().clone();
        for frame in error.manifests.iter().flatten() {
            chain.extend(manifest_from_frame(frame)?)?;
        }
        Ok(())
    }

    fn is_told_link(&self, id: Option<&str>) -> bool {
        self.mending.telling().is_some_and(|version| id == Some(link_id(version).as_str()))
    }
}

fn link_id(version: u64) -> String {
    format!("link-{version}")
}
