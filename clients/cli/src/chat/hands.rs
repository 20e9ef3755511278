//! Does what was decided, one thing after the other, and brings the answers.

use sealwire_client::{Client, Error, Profile};
use sealwire_protocol::Username;
use tokio::sync::mpsc::{Receiver, Sender};

use super::state::{Action, Input, Kept, Page};

/// Under which name the profile keeps what survives. It can be read in the file; what stands there cannot.
const KEPT: &str = "chat";
/// The most messages that a search shows.
const MOST_FOUND: usize = 200;

/// What comes back.
#[derive(Debug)]
pub(super) enum Answer {
    Input(Input),
    /// An action is done, and what it brought was given.
    Done,
}

/// What an earlier run left, and whether others may see that one is online.
pub(super) async fn kept(client: &Client) -> Result<(Kept, bool), Error> {
    let read = |profile: &mut Profile| Ok((profile.setting(KEPT)?.unwrap_or_default(), profile.shares_presence()?));
    client.profile(read).await?
}

/// Works until nobody has anything to do any more. An action waits for the disk at most; what waits for the server goes on
/// beside the others.
pub(super) async fn work(client: Client, mut actions: Receiver<Action>, answers: Sender<Answer>) {
    let hands = Hands { client, answers };
    while let Some(action) = actions.recv().await {
        if let Err(error) = hands.act(action).await {
            hands.give(Input::Refused(error.to_string())).await;
        }
        // Nobody to tell: the program is ending.
        let _ = hands.answers.send(Answer::Done).await;
    }
}

#[derive(Clone)]
struct Hands {
    client: Client,
    answers: Sender<Answer>,
}

impl Hands {
    async fn give(&self, input: Input) {
        // As above.
        let _ = self.answers.send(Answer::Input(input)).await;
    }

    async fn act(&self, action: Action) -> Result<(), Error> {
        match action {
            Action::LoadConversations => {
                let conversations = self.client.profile(|profile| profile.conversations()).await??;
                self.give(Input::Conversations(conversations)).await;
            }
            Action::Load { peer, before, count, until } => {
                let page = self.client.profile(move |profile| page(profile, peer, before, count, until)).await??;
                self.give(Input::Page(page)).await;
            }
            Action::MarkShown { peer, position } => {
                self.client.profile(move |profile| profile.mark_shown_up_to(&peer, position)).await??;
            }
            Action::Send { peer, text } => self.send(peer, text).await,
            Action::Keep(kept) => self.client.profile(move |profile| profile.put_setting(KEPT, &kept)).await??,
            Action::Search(text) => {
                let sought = text.clone();
                let entries = self.client.profile(move |profile| profile.search(&sought, MOST_FOUND)).await??;
                self.give(Input::Found { text, entries }).await;
            }
            Action::Accept(peer) => self.client.profile(move |profile| profile.accept(&peer)).await??,
            Action::Mute(peer, muted) => {
                self.client.profile(move |profile| profile.set_muted(&peer, muted)).await??;
            }
            Action::SetVerified(peer, verified) => {
                self.client.profile(move |profile| profile.set_verified(&peer, verified)).await??;
            }
            Action::Block(peer, blocked) => self.client.block(&peer, blocked).await?,
            Action::Typing(_)
            | Action::Watch(_)
            | Action::SharePresence(_)
            | Action::AskSafety(_)
            | Action::AcceptIdentity(_) => self.ask(action),
            // The loop does these itself.
            Action::Bell | Action::Redraw | Action::Quit => {}
        }
        Ok(())
    }

    /// What is in the outbox is sent, whatever becomes of this program. Of what is given up the person hears.
    async fn send(&self, peer: Username, text: String) {
        let mut sent = match self.client.send(&peer, &text).await {
            Ok(sent) => sent,
            Err(error) => return self.give(Input::NotStored { peer, text, reason: error.to_string() }).await,
        };
        self.give(Input::Stored { peer, text }).await;
        let hands = self.clone();
        tokio::spawn(async move {
            if let Err(error) = sent.first_status().await {
                hands.give(Input::Failed { message_id: sent.message_id(), reason: error.to_string() }).await;
            }
        });
    }

    /// Asks the server, beside what else there is to do.
    fn ask(&self, action: Action) {
        let hands = self.clone();
        tokio::spawn(async move {
            let outcome = match action {
                Action::Typing(peer) => hands.client.typing(&peer).await,
                Action::Watch(names) => hands.client.watch(names).await,
                Action::SharePresence(share) => hands.client.share_presence(share).await,
                Action::AcceptIdentity(peer) => {
                    let done = hands.client.accept_identity(&peer).await;
                    hands.give(Input::Decided).await;
                    done
                }
                Action::AskSafety(peer) => {
                    let number = hands.client.safety(&peer).await;
                    let number = number.map(|number| number.to_string()).map_err(|error| error.to_string());
                    hands.give(Input::Safety { peer, number }).await;
                    Ok(())
                }
                _ => Ok(()),
            };
            if let Err(error) = outcome {
                hands.give(Input::Refused(error.to_string())).await;
            }
        });
    }
}

/// Reads a page; a larger one while the message that is sought is not on it.
fn page(
    profile: &mut Profile,
    peer: Username,
    before: Option<i64>,
    mut count: usize,
    until: Option<i64>,
) -> Result<Page, sealwire_client::profile::ProfileError> {
    loop {
        let entries = profile.history(&peer, before, count)?;
        let is_first = entries.len() < count;
        let is_there = until.is_none_or(|until| entries.iter().any(|entry| entry.position == until));
        if is_first || is_there {
            return Ok(Page { peer, entries, before, is_first });
        }
        count = count.saturating_mul(2);
    }
}
