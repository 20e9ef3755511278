//! Random steps on every store at once: they must answer like the simplest one.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use sealwire_parts::MongoReplicaSet;
use sealwire_protocol::{DeviceId, Kid, MessageId};
use sealwire_store::conformance::{device, message, name};
use sealwire_store::{
    Account, Appended, BackupRecord, Batch, DumpReader, DumpWriter, Expired, Export, Extended, Fingerprint, Front,
    Held, Import, Mail, MailKey, ManifestChange, ManifestRecord, MemoryStore, MongoStore, NewAccount, Removal,
    SqliteStore, Store, Tally, Usage, WrapPut, WrapRecord,
};

const SENDERS: [&str; 3] = ["alice", "bob", "carol"];
const MAILBOXES: std::ops::Range<u64> = 1..4;

/// Few values of everything, so that repeats, equal orders and removals of what is there are common.
fn key() -> impl Strategy<Value = MailKey> {
    (100_u64..103, 0_u64..8).prop_map(|(from, id)| MailKey { from_device: device(from), message_id: message(id) })
}

fn mail() -> impl Strategy<Value = Mail> {
    let order = prop_oneof![9 => 0_u64..6, 1 => Mail::MAX_ORDER - 1..=Mail::MAX_ORDER + 1];
    let sender = prop::sample::select(&SENDERS[..]);
    let content = prop_oneof![9 => 0_usize..64, 1 => 3_000_usize..9_000];
    (MAILBOXES, key(), sender, any::<bool>(), order, content, any::<(u64, u64)>()).prop_map(
        |(to, key, from, own, order, length, (header, content))| Mail {
            device: device(to),
            key,
            from: name(from),
            own,
            order,
            accepted_at: order,
            fingerprint: Fingerprint { header, content },
            shared: vec![0xc1; length].into(),
            wrap: vec![0x3a; length % 7].into(),
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    let removal = (MAILBOXES, key()).prop_map(|(from, key)| Removal { device: device(from), key });
    let appends = prop::collection::vec(mail(), 0..8);
    let removals = prop::collection::vec(removal, 0..8);
    let missed = prop::collection::vec(MAILBOXES.prop_map(device), 0..2);
    (appends, removals, missed).prop_map(|(appends, removals, missed)| Batch { appends, removals, missed })
}

/// One call of a store. Alice has the devices 1, 2 and 100 at first, bob 3 and 101.
#[derive(Debug, Clone)]
enum Step {
    Execute(Batch),
    Expire {
        before: u64,
        limit: usize,
    },
    ForgetNotices(DeviceId, Vec<MessageId>),
    /// A link for the chain as it is, or one version further.
    Extend {
        who: &'static str,
        devices: Vec<u64>,
        ahead: u64,
    },
    PutWrap {
        of: DeviceId,
        seq: u64,
        kid: u8,
        at: u64,
    },
    PutBackup {
        who: &'static str,
        id: u8,
    },
    EraseBackups {
        before: u64,
    },
    Share(&'static str, bool),
}

const NAMES: [&str; 3] = ["alice", "bob", "nobody"];
const DEVICES: [u64; 8] = [1, 2, 3, 4, 100, 101, 102, 103];

fn step() -> impl Strategy<Value = Step> {
    let who = || prop::sample::select(&NAMES[..]);
    let some_device = || prop::sample::select(&DEVICES[..]);
    let devices = prop_oneof![6 => prop::sample::subsequence(&DEVICES[..], 1..6), 1 => Just(vec![])];
    let messages = prop::collection::vec((0_u64..8).prop_map(message), 0..4);
    prop_oneof![
        6 => batch().prop_map(Step::Execute),
        2 => (0_u64..8, 0_usize..12).prop_map(|(before, limit)| Step::Expire { before, limit }),
        1 => (100_u64..103, messages).prop_map(|(of, messages)| Step::ForgetNotices(device(of), messages)),
        3 => (who(), devices, 0_u64..6).prop_map(|(who, devices, n)| Step::Extend { who, devices, ahead: n / 5 }),
        2 => (some_device(), 0_u64..6, 0_u8..3, 0_u64..2_000_000_000)
            .prop_map(|(of, seq, kid, at)| Step::PutWrap { of: device(of), seq, kid, at }),
        1 => (who(), 0_u8..4).prop_map(|(who, id)| Step::PutBackup { who, id }),
        1 => (0_u64..4).prop_map(|before| Step::EraseBackups { before }),
        1 => (who(), any::<bool>()).prop_map(|(who, shared)| Step::Share(who, shared)),
    ]
}

/// What a step answers.
#[derive(Debug, PartialEq)]
enum Outcome {
    Appended(Vec<Appended>),
    Expired(Expired),
    Extended(Extended),
    Wrap(WrapPut),
    Erased(usize),
    Done,
}

async fn perform(store: &impl Store, step: &Step) -> Outcome {
    match step.clone() {
        Step::Execute(batch) => Outcome::Appended(store.execute(batch).await.unwrap().appended),
        Step::Expire { before, limit } => Outcome::Expired(store.expire(before, limit).await.unwrap()),
        Step::ForgetNotices(device, messages) => {
            store.forget_notices(&device, messages).await.unwrap();
            Outcome::Done
        }
        Step::Extend { who, devices, ahead } => {
            let change = link(store, who, &devices, ahead).await;
            Outcome::Extended(store.extend_manifest(change).await.unwrap())
        }
        Step::PutWrap { of, seq, kid, at } => {
            let wrap = WrapRecord { seq, kid: Kid([kid; 32]), document: "wrap".into() };
            Outcome::Wrap(store.put_wrap(&of, wrap, at).await.unwrap())
        }
        Step::PutBackup { who, id } => {
            let backup = BackupRecord { id: [id; 32], data: vec![id; 9].into(), at: id.into() };
            store.put_backup(&name(who), backup).await.unwrap();
            Outcome::Done
        }
        Step::EraseBackups { before } => {
            Outcome::Erased(store.erase_replaced_backups(before, usize::MAX).await.unwrap())
        }
        Step::Share(who, shared) => {
            store.set_presence_shared(&name(who), shared).await.unwrap();
            Outcome::Done
        }
    }
}

async fn link(store: &impl Store, who: &str, devices: &[u64], ahead: u64) -> ManifestChange {
    let newest = store.account(&name(who)).await.unwrap().map_or(1, |account| account.manifest.version);
    let version = newest + 1 + ahead;
    ManifestChange {
        username: name(who),
        previous: [version as u8 - 1; 32],
        manifest: ManifestRecord { version, hash: [version as u8; 32], document: "manifest".into() },
        devices: devices.iter().map(|n| (device(*n), vec![*n as u8].into())).collect(),
        at: version,
    }
}

async fn register(store: &impl Store, who: &str, devices: &[u64]) {
    let account = NewAccount {
        username: name(who),
        aik: "identity".into(),
        manifest: ManifestRecord { version: 1, hash: [1; 32], document: "manifest".into() },
        devices: devices.iter().map(|n| (device(*n), vec![*n as u8].into())).collect(),
        wrap: (device(devices[0]), WrapRecord { seq: 1, kid: Kid([1; 32]), document: "wrap".into() }),
        created_at: 1,
    };
    store.create_account(account).await.unwrap();
}

/// What a reader may ask after a step.
#[derive(Debug, Clone)]
struct Question {
    except: HashSet<MailKey>,
    max_messages: usize,
    max_bytes: usize,
}

fn question() -> impl Strategy<Value = Question> {
    let except = prop::collection::hash_set(key(), 0..6);
    let bytes = prop_oneof![Just(usize::MAX), 0_usize..200];
    (except, 0_usize..12, bytes).prop_map(|(except, max_messages, max_bytes)| Question {
        except,
        max_messages,
        max_bytes,
    })
}

#[derive(Debug, PartialEq)]
struct Answers {
    outcome: Outcome,
    accounts: Vec<(Option<Account>, Vec<ManifestRecord>, Vec<BackupRecord>)>,
    notices: Vec<Vec<MessageId>>,
    fronts: Vec<Front>,
    usages: Vec<Usage>,
    missed: Vec<u64>,
    held: Vec<Held>,
    highest: u64,
}

async fn ask(store: &impl Store, step: &Step, question: &Question) -> Answers {
    let outcome = perform(store, step).await;
    let (mut accounts, mut notices) = (Vec::new(), Vec::new());
    for who in NAMES.map(name) {
        let chain = store.manifests(&who, 0, usize::MAX).await.unwrap();
        accounts.push((store.account(&who).await.unwrap(), chain, store.backups(&who).await.unwrap()));
    }
    for sender in (100..103).map(device) {
        notices.push(store.news(&sender, question.max_messages).await.unwrap().notices);
    }
    let (mut fronts, mut usages, mut missed) = (Vec::new(), Vec::new(), Vec::new());
    for device in MAILBOXES.map(device) {
        let Question { except, max_messages, max_bytes } = question.clone();
        fronts.push(store.front(&device, except, max_messages, max_bytes).await.unwrap());
        for sender in SENDERS {
            usages.push(store.usage(&device, &name(sender)).await.unwrap());
        }
        missed.push(store.news(&device, 0).await.unwrap().missed);
    }
    let asked = MailKey { from_device: device(100), message_id: message(0) };
    let mut held = store.find(&asked).await.unwrap();
    held.sort_by_key(|held| held.device);
    let highest = store.highest_order().await.unwrap();
    Answers { outcome, accounts, notices, fronts, usages, missed, held, highest }
}

/// Takes the steps on a store and on the model.
async fn compare(store: &impl Store, steps: &[(Step, Question)]) -> Result<(), TestCaseError> {
    let model = MemoryStore::new();
    begin(store, &model).await;
    go_on(store, &model, steps).await
}

async fn begin(store: &impl Store, model: &MemoryStore) {
    for (who, devices) in [("alice", &[1, 2, 100][..]), ("bob", &[3, 101])] {
        register(store, who, devices).await;
        register(model, who, devices).await;
    }
}

async fn go_on(store: &impl Store, model: &MemoryStore, steps: &[(Step, Question)]) -> Result<(), TestCaseError> {
    for (step, question) in steps {
        prop_assert_eq!(ask(store, step, question).await, ask(model, step, question).await);
    }
    Ok(())
}

/// Writes a store that is in use into a file, and fills another one from it.
async fn move_over(mut from: Box<dyn Export>, mut to: Box<dyn Import>) {
    let (mut writer, mut tally) = (DumpWriter::begin(Vec::new()).unwrap(), Tally::default());
    loop {
        let pieces = from.next().await.unwrap();
        if pieces.is_empty() {
            break;
        }
        pieces.iter().for_each(|piece| writer.add(piece).unwrap());
    }
    let (file, counts) = writer.end().unwrap();
    let mut reader = DumpReader::begin(&file[..]).unwrap();
    loop {
        let pieces = reader.pieces().unwrap();
        if pieces.is_empty() {
            break;
        }
        pieces.iter().for_each(|piece| tally.add(piece));
        to.put(pieces).await.unwrap();
    }
    let (mut back, mut found) = (to.read_back().await.unwrap(), Tally::default());
    loop {
        let pieces = back.next().await.unwrap();
        if pieces.is_empty() {
            break;
        }
        pieces.iter().for_each(|piece| found.add(piece));
    }
    drop(back);
    assert_eq!((found, tally.counts()), (tally, counts));
    to.release().await.unwrap();
}

fn steps() -> impl Strategy<Value = Vec<(Step, Question)>> {
    prop::collection::vec((step(), question()), 1..16)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_embedded_store_answers_random_steps_like_the_model(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        runtime().block_on(compare(&SqliteStore::open(dir.path()).unwrap(), &steps))?;
    }

    #[test]
    fn nobody_can_tell_an_embedded_store_from_what_was_restored_of_it(before in steps(), after in steps()) {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        runtime().block_on(async {
            let (store, model) = (SqliteStore::open(here.path()).unwrap(), MemoryStore::new());
            begin(&store, &model).await;
            go_on(&store, &model, &before).await?;
            move_over(SqliteStore::export(here.path()).unwrap(), SqliteStore::import(there.path()).unwrap()).await;
            go_on(&SqliteStore::open(there.path()).unwrap(), &model, &after).await
        })?;
    }
}

/// One of these at a time: it is a server of its own.
mod heavy {
    use std::cell::Cell;

    use proptest::test_runner::{Config, TestRunner};

    use super::*;
    use crate::PATIENCE;

    /// One member, and a database for each case: what many members change is not how questions are answered.
    #[test]
    fn mongodb_answers_random_steps_like_the_model() {
        let runtime = runtime();
        let set = runtime.block_on(MongoReplicaSet::start(1));
        let cases = if std::env::var_os("SEALWIRE_LONG").is_some() { 200 } else { 16 };
        let mut runner = TestRunner::new(Config { cases, ..Config::default() });
        let case = Cell::new(0);
        let outcome = runner.run(&steps(), |steps| {
            case.set(case.get() + 1);
            let url = set.url_of(&format!("case-{}", case.get()));
            runtime.block_on(async { compare(&MongoStore::open(&url, PATIENCE).await.unwrap(), &steps).await })
        });
        outcome.unwrap();
    }

    /// From the embedded store into MongoDB, from there into another database, and back.
    #[test]
    fn nobody_can_tell_that_a_store_went_through_mongodb_and_back() {
        let runtime = runtime();
        let set = runtime.block_on(MongoReplicaSet::start(1));
        let cases = if std::env::var_os("SEALWIRE_LONG").is_some() { 100 } else { 8 };
        let mut runner = TestRunner::new(Config { cases, ..Config::default() });
        let case = Cell::new(0);
        let outcome = runner.run(&(steps(), steps(), steps(), steps()), |(first, second, third, fourth)| {
            case.set(case.get() + 1);
            let url = |n: u32| set.url_of(&format!("moved-{}-{n}", case.get()));
            let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            runtime.block_on(async {
                let model = MemoryStore::new();
                let store = SqliteStore::open(here.path()).unwrap();
                begin(&store, &model).await;
                go_on(&store, &model, &first).await?;
                let import = async |n| MongoStore::import(&url(n), PATIENCE).await.unwrap();
                let export = async |n| MongoStore::export(&url(n), PATIENCE).await.unwrap();
                move_over(SqliteStore::export(here.path()).unwrap(), import(1).await).await;
                go_on(&MongoStore::open(&url(1), PATIENCE).await.unwrap(), &model, &second).await?;
                move_over(export(1).await, import(2).await).await;
                go_on(&MongoStore::open(&url(2), PATIENCE).await.unwrap(), &model, &third).await?;
                move_over(export(2).await, SqliteStore::import(there.path()).unwrap()).await;
                go_on(&SqliteStore::open(there.path()).unwrap(), &model, &fourth).await
            })
        });
        outcome.unwrap();
    }
}
