//! What is refused, and leaves everything as it was.

use std::fs;
use std::path::Path;

use sealwire_tests::Server;

use crate::{Store, home};

/// A backup of a store with one account.
async fn a_backup(server: &Server, dump: &Path) {
    server.register("alice").await;
    Store::Embedded(server.data_dir()).backup(dump).await.well();
}

#[tokio::test]
async fn a_broken_backup_is_refused_before_anything_is_written() {
    let (_home, dump, data) = home();
    let server = Server::start().await;
    a_backup(&server, &dump).await;
    let whole = fs::read(&dump).expect("it can be read");
    let mut wrong = whole.clone();
    wrong[whole.len() / 2] ^= 1;
    let cut = &whole[..whole.len() - 1];
    for (bytes, why) in [(&wrong[..], "it is damaged"), (cut, "it is cut off"), (b"a letter", "not a file that")] {
        fs::write(&dump, bytes).expect("it can be written");
        Store::Embedded(&data).restore(&dump).await.refused(why);
        assert!(!data.exists(), "nothing was written");
    }
}

#[tokio::test]
async fn nothing_is_overwritten_and_nobody_disturbed() {
    let (_home, dump, data) = home();
    Store::Embedded(&data).backup(&dump).await.refused("there is no store");
    assert!(!data.exists() && !dump.exists());
    let mut server = Server::start().await;
    a_backup(&server, &dump).await;
    let here = server.data_dir().to_owned();
    Store::Embedded(&here).backup(&dump).await.refused("there already");
    Store::Embedded(&here).restore(&dump).await.refused("another sealwire server is using it");
    assert!(server.terminate().await.success());
    Store::Embedded(&here).restore(&dump).await.refused("holds a store already");
    server.restart().await;
}

#[tokio::test]
async fn a_damaged_store_gives_no_backup() {
    let (home, dump, _) = home();
    let mut server = Server::start().await;
    server.register("alice").await;
    assert!(server.terminate().await.success());
    let database = server.data_dir().join("sealwire.db");
    let mut bytes = fs::read(&database).expect("it can be read");
    bytes[4_096..].fill(0xff);
    fs::write(&database, bytes).expect("it can be written");
    Store::Embedded(server.data_dir()).backup(&dump).await.refused("damaged");
    assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 0, "nothing is left of it");
}

/// A process that was killed half way is the same as one that left its file.
#[tokio::test]
async fn a_store_that_was_half_restored_is_not_served_until_the_restore_is_done_again() {
    let (_home, dump, data) = home();
    let server = Server::start().await;
    a_backup(&server, &dump).await;
    fs::create_dir(&data).expect("a directory can be made");
    fs::write(data.join("sealwire.db.restoring"), "half").expect("a file can be written");
    Store::Embedded(&data).serve().await.refused("has not come to its end");
    Store::Embedded(&data).restore(&dump).await.well();
    let server = Server::with(&[]).data_dir(&data).start().await;
    assert!(!data.join("sealwire.db.restoring").exists());
    drop(server);
}

#[tokio::test]
async fn what_the_configuration_cannot_mean_is_misuse() {
    let (_home, dump, data) = home();
    let said = Store::Embedded(&data).migrate().await;
    assert!(said.code == Some(2) && said.trouble.contains("store.url"), "{said:?}");
    let mut command = Store::Embedded(&data).command();
    command.env("SEALWIRE_STORE_KIND", "memory").args(["admin", "backup"]).arg(&dump);
    let said = crate::Said::of(&command.output().await.expect("the server's binary runs"));
    assert!(said.code == Some(2) && said.trouble.contains("keeps nothing"), "{said:?}");
}
