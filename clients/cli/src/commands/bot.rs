//! `bot`: a program answers. For each message it is run once: the text comes on its standard input, what it prints is sent back.

mod answer;

use std::collections::VecDeque;

use sealwire_client::{Client, Error, Event, Events, Message, Sent};
use sealwire_protocol::MessageId;
use sealwire_protocol::frames::Status;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{print, stop, tell};
use crate::arguments::{Arguments, Bot};
use crate::exit::Failure;
use crate::profile;
use crate::terminal::{complain, harmless, utc};

use answer::Answer;

/// So many answers without a status are remembered; the status of an older one is not told, and it is sent all the same.
const REMEMBERED: usize = 256;

struct Work<'a> {
    client: &'a Client,
    command: &'a Bot,
    as_json: bool,
    /// Answers that have had no status yet.
    unsent: VecDeque<Sent>,
    left: Option<u64>,
}

pub(crate) async fn run(arguments: &Arguments, command: &Bot) -> Result<(), Failure> {
    let (client, mut events) = profile::start(arguments)?;
    let mut work =
        Work { client: &client, command, as_json: arguments.json, unsent: VecDeque::new(), left: command.count };
    let outcome = work.listen(&mut events).await;
    drop(work);
    stop(client, events).await;
    outcome
}

impl Work<'_> {
    async fn listen(&mut self, events: &mut Events) -> Result<(), Failure> {
        while self.left != Some(0) {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::Message(message)) => self.take(&message).await?,
                    Some(Event::Status { message_id, status }) => self.status(message_id, status)?,
                    Some(event) => tell(&event),
                    None => return Err(self.client.trouble().unwrap_or(Error::Stopped).into()),
                },
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
        self.send_off(events).await
    }

    /// One message. It counts as shown once its answer lies in the outbox, so it is answered even if this process is killed:
    /// in the worst moment twice.
    async fn take(&mut self, message: &Message) -> Result<(), Failure> {
        let own = message.from == self.client.account().username;
        let Some(text) = message.text.as_deref().filter(|_| !own) else {
            return Ok(self.client.shown(message).await?);
        };
        let answered = answer::ask(&self.command.command, message, text, self.command.patience).await?;
        let sent = match &answered {
            Answer::Words(words) => Some(self.client.send(&message.from, words).await),
            Answer::Nothing | Answer::Failed(_) => None,
        };
        let failure = match (&answered, &sent) {
            (Answer::Failed(reason), _) => Some(reason.clone()),
            (_, Some(Err(error @ (Error::Profile(_) | Error::Stopped)))) => return Err(error.clone().into()),
            (_, Some(Err(error))) => Some(error.to_string()),
            _ => None,
        };
        let id = sent.as_ref().and_then(|sent| sent.as_ref().ok()).map(Sent::message_id);
        self.report(message, text, &answered, id, failure.as_deref())?;
        if failure.is_none() {
            self.client.shown(message).await?;
        }
        if let Some(Ok(sent)) = sent {
            if self.unsent.len() == REMEMBERED {
                self.unsent.pop_front();
            }
            self.unsent.push_back(sent);
        }
        self.left = self.left.map(|left| left - 1);
        Ok(())
    }

    fn report(
        &self,
        message: &Message,
        text: &str,
        answered: &Answer,
        id: Option<MessageId>,
        failure: Option<&str>,
    ) -> Result<(), Failure> {
        let words = match answered {
            Answer::Words(words) => Some(words.as_str()),
            Answer::Nothing | Answer::Failed(_) => None,
        };
        if let Some(reason) = failure {
            complain(&format!("{} is not answered, and comes again at the next start: {reason}", message.message_id));
        }
        let object = json!({
            "from": message.from,
            "messageId": message.message_id,
            "timestamp": message.timestamp,
            "text": text,
            "answer": words,
            "answerId": id,
            "failure": failure,
        });
        print(self.as_json, &object, || {
            let answer = words.map(|words| format!("\n    -> {}", harmless(words))).unwrap_or_default();
            format!("{} {}: {}{answer}", utc(message.timestamp), message.from, harmless(text))
        })
    }

    fn status(&mut self, id: MessageId, status: Status) -> Result<(), Failure> {
        let known = self.unsent.iter().position(|sent| sent.message_id() == id);
        if known.and_then(|at| self.unsent.remove(at)).is_none() || !self.as_json {
            return Ok(());
        }
        print(true, &json!({ "answerId": id, "status": status.as_str() }), String::new)
    }

    /// Waits until the server has the last answers.
    async fn send_off(&mut self, events: &mut Events) -> Result<(), Failure> {
        let deadline = Instant::now() + self.command.patience;
        while !self.unsent.is_empty() {
            match timeout_at(deadline, events.next()).await {
                Ok(Some(Event::Status { message_id, status })) => self.status(message_id, status)?,
                // It is kept, and comes again at the next start.
                Ok(Some(Event::Message(_))) => {}
                Ok(Some(event)) => tell(&event),
                Ok(None) | Err(_) => {
                    complain("the last answers lie in the outbox, and go out with the next command that connects");
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
