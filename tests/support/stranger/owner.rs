//! A person who decides which devices the account has.

use std::sync::Arc;

use sealwire_protocol::signed::Manifest;
use serde_json::{Value, json};

use super::identity::Identity;
use super::person::Stranger;
use crate::Entrance;

/// A person with one device that is logged in, and the newest manifest.
#[derive(Debug)]
pub struct Owner {
    /// The device's session.
    pub session: Stranger,
    /// The newest manifest.
    pub manifest: Manifest,
}

impl Owner {
    /// Makes an account and logs its first device in.
    pub async fn register(entrance: &Entrance, name: &str) -> Self {
        let session = entrance.register(name).await;
        let manifest = session.who.first_manifest();
        Self { session, manifest }
    }

    /// The next manifest, with these devices.
    pub fn next(&self, devices: &[&Identity]) -> Manifest {
        self.session.who.next_manifest(&self.manifest, devices)
    }

    /// Asks for a manifest to be taken; gives the answer.
    pub async fn offer(&mut self, manifest: &Manifest) -> Value {
        let frame = self.session.who.manifest_frame(manifest);
        self.session.ask(&json!({ "type": "devices", "manifest": frame })).await
    }

    /// Has the next manifest taken.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn list(&mut self, devices: &[&Identity]) {
        let next = self.next(devices);
        let answer = self.offer(&next).await;
        assert_eq!((&answer["type"], &answer["version"]), (&json!("devices"), &json!(next.version)), "{answer}");
        self.manifest = next;
    }

    /// Adds a second device and logs it in there.
    pub async fn with_second(&mut self, entrance: &Entrance) -> Stranger {
        let second = Arc::new(self.session.who.sibling(1));
        self.list(&[&self.session.who.clone(), &second]).await;
        entrance.link(&second).await
    }
}
