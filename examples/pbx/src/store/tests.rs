//! What was written is found again, by another opening of the same file.

use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use super::keeper::Keeper;
use super::thread::{People, StoreAnswer, StoreRequest, StoreThread};
use super::*;
use crate::config::{Codec, Secret};
use denwa_sip_core::auth::algorithm::Hash;

/// A folder that is gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pbx-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn url(&self) -> StoreUrl {
        StoreUrl::Sqlite(self.0.join("deep/pbx.db"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn now() -> SystemTime {
    time(1_800_000_000_123)
}

fn extension(number: &str) -> StoredExtension {
    let password = Secret::new("secret");
    StoredExtension::new(number, "Küche", "r", &password, MadeBy::FirstRun, now())
}

/// What can be compared of it.
fn seen(extension: &StoredExtension) -> (String, String, String, Vec<String>) {
    let digests = [Hash::Md5, Hash::Sha256, Hash::Sha512Slash256]
        .map(|hash| extension.digests.get(hash).unwrap().as_str().to_owned());
    let StoredExtension { number, name, realm, .. } = extension.clone();
    (number, name, realm, digests.to_vec())
}

fn binding(number: &str, contact: &str) -> StoredBinding {
    StoredBinding {
        number: number.into(),
        contact: contact.into(),
        parameters: ";+sip.instance=\"<urn:x>\"".into(),
        q: 700,
        expires_at: now() + Duration::from_secs(60),
        call_id: "c@h".into(),
        cseq: 7,
        path: String::new(),
        protocol: "UDP".into(),
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "[::1]:5080".parse().unwrap(),
        user_agent: "phone".into(),
        instance: String::new(),
        reg_id: 0,
    }
}

fn record() -> CallRecord {
    CallRecord {
        call: 0,
        began_at: now(),
        answered_at: Some(now() + Duration::from_secs(3)),
        ended_at: now() + Duration::from_secs(9),
        caller: "1001".into(),
        caller_side: "extension 1001".into(),
        dialled: "1002".into(),
        callee_side: "extension 1002".into(),
        outcome: Outcome::Answered,
        status: 200,
        cause: String::new(),
        remedy: String::new(),
        codec: "PCMA/PCMA".into(),
        evidence: "a\nb".into(),
    }
}

#[test]
fn a_second_opening_finds_everything_again() {
    let folder = Folder::new("again");
    let mut store = Store::open(&folder.url()).unwrap();
    assert!(store.is_new());
    store.put_extensions(&[extension("1002"), extension("1001")]).unwrap();
    store.put_registrations("1001", &[binding("1001", "sip:a"), binding("1001", "sip:b")]).unwrap();
    let call = store.put_call(&record()).unwrap();
    drop(store);

    let mut store = Store::open(&folder.url()).unwrap();
    assert!(!store.is_new());
    let found = store.extensions().unwrap();
    assert_eq!(
        found.iter().map(seen).collect::<Vec<_>>(),
        ["1001", "1002"].map(|number| seen(&extension(number)))
    );
    assert_eq!((found[0].made_by, found[0].made_at), (MadeBy::FirstRun, now()));
    assert_eq!(found[0].codecs, Codec::DEFAULT);
    assert_eq!(store.registrations(now()).unwrap(), [binding("1001", "sip:a"), binding("1001", "sip:b")]);
    assert_eq!(store.calls(10).unwrap(), [CallRecord { call, ..record() }]);
}

#[test]
fn a_new_set_takes_the_place_of_the_old_one_and_lapsed_ones_go() {
    let mut store = Store::open(&StoreUrl::Memory).unwrap();
    store.put_registrations("1", &[binding("1", "sip:a"), binding("1", "sip:b")]).unwrap();
    store.put_registrations("2", &[binding("2", "sip:c")]).unwrap();
    store.put_registrations("1", &[binding("1", "sip:d")]).unwrap();
    assert_eq!(store.registrations(now()).unwrap(), [binding("1", "sip:d"), binding("2", "sip:c")]);
    store.put_registrations("1", &[]).unwrap();
    assert_eq!(store.registrations(now()).unwrap(), [binding("2", "sip:c")]);
    assert_eq!(store.registrations(now() + Duration::from_secs(60)).unwrap(), []);
}

#[test]
fn removing_an_extension_removes_where_it_was_registered() {
    let mut store = Store::open(&StoreUrl::Memory).unwrap();
    store.put_extensions(&[extension("1")]).unwrap();
    store.put_registrations("1", &[binding("1", "sip:a")]).unwrap();
    assert!(store.remove_extension("1").unwrap());
    assert!(!store.remove_extension("1").unwrap());
    assert!(store.extension("1").unwrap().is_none());
    assert_eq!(store.registrations(now()).unwrap(), []);
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let folder = Folder::new("newer");
    drop(Store::open(&folder.url()).unwrap());
    let StoreUrl::Sqlite(path) = folder.url() else { unreachable!() };
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let error = Store::open(&folder.url()).unwrap_err().to_string();
    assert!(error.contains("written by a newer pbx (format 999, this one knows 3)"), "{error}");
}

#[test]
fn what_cannot_be_opened_says_so_in_one_sentence() {
    let folder = Folder::new("wrong");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(
        folder.0.join("file"),
        "this is no database, but it is long enough to be looked at as one".repeat(20),
    )
    .unwrap();
    let error = Store::open(&StoreUrl::Sqlite(folder.0.join("file"))).unwrap_err().to_string();
    assert!(error.ends_with("the file is there, but it is not an SQLite database"), "{error}");
    let error = Store::open(&StoreUrl::Sqlite(folder.0.join("file/pbx.db"))).unwrap_err().to_string();
    assert!(error.starts_with("cannot make the folder "), "{error}");
    let error = Store::open(&StoreUrl::Sqlite(folder.0.clone())).unwrap_err().to_string();
    assert!(error.contains("may this user write to the folder"), "{error}");
    assert!(!error.contains('\n'));
}

#[test]
fn the_thread_answers_after_the_commit_and_notices_commands() {
    let folder = Folder::new("thread");
    let (answers, answered) = mpsc::channel();
    let store = Store::open(&folder.url()).unwrap();
    let (requests, queue) = mpsc::channel();
    let thread =
        StoreThread::start(store, queue, Duration::ZERO, move |answer| answers.send(answer).unwrap())
            .unwrap();
    let bindings = vec![binding("1", "sip:a")];
    requests.send(StoreRequest::PutRegistrations { id: 5, number: "1".into(), bindings }).unwrap();
    requests.send(StoreRequest::PutCall(Arc::new(record()))).unwrap();
    let StoreAnswer::Registrations { id: 5, outcome: Ok(()) } = answered.recv().unwrap() else { panic!() };

    let StoreAnswer::CallKept(_) = answered.recv().unwrap() else { panic!() };

    // A command, in another process as it were.
    let mut other = Store::open(&folder.url()).unwrap();
    assert_eq!(other.registrations(now()).unwrap().len(), 1);
    other.put_extensions(&[extension("1")]).unwrap();
    let StoreAnswer::People(People { extensions, .. }) = answered.recv().unwrap() else { panic!() };
    assert_eq!(extensions.iter().map(seen).collect::<Vec<_>>(), [seen(&extension("1"))]);

    drop(requests);
    drop(thread);
    assert_eq!(other.calls(10).unwrap().len(), 1);
}

/// A thread over the store, and the ends of its queues.
fn running(
    url: &StoreUrl,
    sync: Duration,
) -> (mpsc::Sender<StoreRequest>, mpsc::Receiver<StoreAnswer>, StoreThread) {
    let (requests, queue) = mpsc::channel();
    let (answers, answered) = mpsc::channel();
    let thread = StoreThread::start(Store::open(url).unwrap(), queue, sync, move |answer| {
        let _ = answers.send(answer);
    });
    (requests, answered, thread.unwrap())
}

#[test]
fn records_wait_while_another_program_holds_the_store_locked_and_registrations_are_told_at_once() {
    let folder = Folder::new("locked");
    let (requests, answered, thread) = running(&folder.url(), Duration::from_secs(1));
    let StoreUrl::Sqlite(path) = folder.url() else { unreachable!() };
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    requests.send(StoreRequest::PutCall(Arc::new(record()))).unwrap();
    let StoreAnswer::Failing { reason } = answered.recv().unwrap() else { panic!() };
    assert!(reason.contains("another program holds it locked: have that program end"), "{reason}");
    let bindings = vec![binding("1", "sip:a")];
    requests.send(StoreRequest::PutRegistrations { id: 5, number: "1".into(), bindings }).unwrap();
    let StoreAnswer::Registrations { id: 5, outcome: Err(_) } = answered.recv().unwrap() else { panic!() };
    holder.execute_batch("COMMIT").unwrap();
    let StoreAnswer::Recovered { waited: 1 } = answered.recv().unwrap() else { panic!() };
    let StoreAnswer::CallKept(_) = answered.recv().unwrap() else { panic!() };
    drop((requests, thread));
    assert_eq!(Store::open(&folder.url()).unwrap().calls(10).unwrap().len(), 1);
}

#[test]
fn a_full_disk_loses_no_record_and_one_that_is_at_fault_holds_up_no_other() {
    let folder = Folder::new("full");
    let store = Store::open(&folder.url()).unwrap();
    // As many pages as there are: SQLite says of the next what it says of a full disk.
    store.connection.pragma_update(None, "max_page_count", 1).unwrap();
    let answers = std::cell::RefCell::new(Vec::new());
    let mut keeper = Keeper::new(store, Duration::ZERO, |answer| answers.borrow_mut().push(answer));
    let long = CallRecord { evidence: "x".repeat(100_000), ..record() };
    keeper.keep(vec![StoreRequest::PutCall(Arc::new(long.clone()))]);
    keeper.keep(vec![StoreRequest::PutCall(Arc::new(long))]);
    let [StoreAnswer::Failing { reason }] = &answers.take()[..] else { panic!() };
    assert!(reason.ends_with("its disk is full: make room there"), "{reason}");
    keeper.store().connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    keeper.try_again();
    let seen = answers.take();
    let [StoreAnswer::Recovered { waited: 2 }, StoreAnswer::CallKept(_), StoreAnswer::CallKept(_)] =
        &seen[..]
    else {
        panic!("{seen:?}")
    };
    // A second record of a number that is taken is wrong for ever.
    let numbered = |call| StoreRequest::PutCall(Arc::new(CallRecord { call, ..record() }));
    keeper.keep(vec![numbered(1), numbered(7)]);
    let seen = answers.take();
    let [StoreAnswer::CallLost { record, .. }, StoreAnswer::CallKept(kept)] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!((record.call, kept.call), (1, 7));
}

#[test]
fn one_exchange_at_a_time_has_a_store() {
    let folder = Folder::new("claim");
    let claim = Claim::of(&folder.url()).unwrap();
    let error = Claim::of(&folder.url()).unwrap_err().to_string();
    let process = format!("another pbx (process {}) runs with the store ", std::process::id());
    assert!(error.starts_with(&process) && error.ends_with("(`[store] url`)"), "{error}");
    drop(claim);
    Claim::of(&folder.url()).unwrap();
}

#[test]
fn registrations_last_as_long_as_before_when_the_clock_is_set() {
    let folder = Folder::new("clock");
    let (requests, answered, thread) = running(&folder.url(), Duration::from_secs(1));
    let bindings = vec![binding("1", "sip:a")];
    requests.send(StoreRequest::PutRegistrations { id: 5, number: "1".into(), bindings }).unwrap();
    requests.send(StoreRequest::MoveClock(3_600_000)).unwrap();
    drop((requests, thread));
    assert!(matches!(answered.recv().unwrap(), StoreAnswer::Registrations { id: 5, outcome: Ok(()) }));
    let mut store = Store::open(&folder.url()).unwrap();
    let later = now() + Duration::from_secs(3_600);
    assert_eq!(store.registrations(later + Duration::from_secs(59)).unwrap().len(), 1);
    assert_eq!(store.registrations(later + Duration::from_secs(60)).unwrap().len(), 0);
}
