//! What was acknowledged before a store was read out is in what is made of it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use sealwire_parts::MongoReplicaSet;
use sealwire_tests::Server;
use sealwire_tests::server::{Builder, NO_LIMITS};
use sealwire_tests::stranger::Stranger;
use serde_json::json;

use crate::town::Town;
use crate::{Store, home};

fn quick() -> Builder {
    Server::with(NO_LIMITS)
}

/// Takes a backup while Alice goes on writing; gives how many messages were acknowledged before it began.
async fn backup_under_traffic(town: &mut Town, alice: &mut Stranger, from: Store<'_>, to: &Path) -> usize {
    let promised = town.written();
    let mut backup = Box::pin(from.backup(to));
    loop {
        let said = tokio::select! {
            said = &mut backup => said,
            () = town.write_on(alice) => continue,
        };
        let holds = said.well();
        assert!(holds.contains("2 accounts with 3 devices") && holds.contains("1 sealed backup, from "), "{holds}");
        assert!(!holds.contains("alice") && !holds.contains("bob"), "{holds}");
        return promised;
    }
}

#[tokio::test]
async fn an_embedded_store_is_backed_up_while_it_is_used_and_its_restored_copy_loses_no_queued_message() {
    let (_home, dump, data) = home();
    let mut server = quick().start().await;
    let (mut town, mut alice) = Town::settle(&server).await;
    let here = server.data_dir().to_owned();
    let promised = backup_under_traffic(&mut town, &mut alice, Store::Embedded(&here), &dump).await;
    let mode = dump.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.kill().await;

    Store::Embedded(&data).restore(&dump).await.well();
    let server = quick().data_dir(&data).start().await;
    town.goes_on(&server, promised).await;
}

/// One of these at a time: each is a database of its own.
mod heavy {
    use super::*;

    async fn on(url: &str) -> Server {
        quick().set("SEALWIRE_STORE_URL", url).start().await
    }

    #[tokio::test]
    async fn a_store_in_mongodb_is_backed_up_while_it_is_used_and_its_restored_copy_loses_no_queued_message() {
        let set = MongoReplicaSet::start(1).await;
        let (_home, dump, data) = home();
        let mut server = on(&set.url_of("here")).await;
        let (mut town, mut alice) = Town::settle(&server).await;
        let here = set.url_of("here");
        let promised = backup_under_traffic(&mut town, &mut alice, Store::Shared(&here), &dump).await;
        server.kill().await;

        // Into another database, and also into an embedded store: the file is the same for all.
        let there = set.url_of("there");
        Store::Shared(&there).restore(&dump).await.well();
        Store::Embedded(&data).restore(&dump).await.well();
        town.goes_on(&on(&there).await, promised).await;
        town.goes_on(&quick().data_dir(&data).start().await, promised).await;
    }

    #[tokio::test]
    async fn people_go_on_in_mongodb_after_a_migration_and_the_embedded_store_is_not_served_again() {
        let set = MongoReplicaSet::start(1).await;
        let mut server = quick().start().await;
        let (town, alice) = Town::settle(&server).await;
        drop(alice);
        let (data, url) = (server.data_dir().to_owned(), set.url_of("chat"));
        Store::Both(&data, &url).migrate().await.refused("locked");
        assert!(server.terminate().await.success());

        let said = Store::Both(&data, &url).migrate().await.well();
        assert!(said.contains("2 accounts with 3 devices, 60 messages waiting"), "{said}");
        town.goes_on(&on(&url).await, town.written()).await;

        Store::Embedded(&data).serve().await.refused("was moved to MongoDB");
        Store::Both(&data, &url).migrate().await.refused("holds a store already");
        // What was retired may be moved again, elsewhere.
        let elsewhere = set.url_of("elsewhere");
        Store::Both(&data, &elsewhere).migrate().await.well();
    }

    /// Whether MongoDB has this database.
    async fn has_database(set: &MongoReplicaSet, name: &str) -> bool {
        let databases = set.command(0, "listDatabases", json!(1), json!({ "nameOnly": true })).await;
        let listed = databases.expect("the member answers")["databases"].to_string();
        listed.contains(&format!("\"{name}\""))
    }

    /// Killed at some moment, counted in questions to the database: whichever it is, one of the two may be served at most, and the
    /// same command brings it to its end.
    #[tokio::test]
    async fn a_migration_that_is_killed_leaves_at_most_one_store_in_service_and_is_done_by_running_it_again() {
        let set = MongoReplicaSet::start(1).await;
        let mut server = quick().start().await;
        let (town, alice) = Town::settle(&server).await;
        drop(alice);
        assert!(server.terminate().await.success());
        let (data, url) = (server.data_dir().to_owned(), set.url_of("chat"));
        let (_home, dump, _) = home();
        let mut questions = 1;
        loop {
            let mut migration = Store::Both(&data, &url).command();
            migration.args(["admin", "migrate"]).stdout(Stdio::null()).stderr(Stdio::null());
            let mut migration = migration.spawn().expect("the server's binary runs");
            let mut ended = None;
            for _ in 0..questions {
                has_database(&set, "chat").await;
                ended = migration.try_wait().expect("a child can be asked");
                if ended.is_some() {
                    break;
                }
            }
            migration.kill().await.expect("a child can be killed");

            let embedded = data.join("sealwire.db").exists();
            assert!(embedded || data.join("sealwire.db.migrated").exists(), "the old store is gone");
            let said = Store::Shared(&url).backup(&dump).await;
            let shared = said.code == Some(0);
            assert!(
                shared || said.trouble.contains("left half way") || said.trouble.contains("holds no store"),
                "{said:?}"
            );
            assert!(!(embedded && shared), "both are in service");
            // Killed after it was done, before anybody has seen that, it is done all the same.
            if shared {
                break;
            }
            assert!(ended.is_none(), "it has failed by itself");
            questions = questions * 3 / 2 + 1;
        }
        Store::Embedded(&data).serve().await.refused("was moved to MongoDB");
        town.goes_on(&on(&url).await, town.written()).await;
    }
}
