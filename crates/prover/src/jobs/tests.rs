//! What is promised of jobs, with an executor that proves nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use holdfast_crypto::{F, field::DIGEST_ZERO};
use openvm_stark_backend::p3_field::PrimeCharacteristicRing;

use super::*;

const KEY: KeyId = KeyId([7; 32]);
/// No claim gets so old in a test.
const LONG: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(2);

fn segment(index: u32) -> Job {
    let limits = SegmentLimits { rows: 1, slots: 2, signatures: 3 };
    let z = U256::from(0x1234_5678_u64);
    let work = Work::Segment { batch: ObjectId::of(b"a batch"), root_old: DIGEST_ZERO, z, index, limits };
    Job { key: KEY, work }
}

fn source(index: u32) -> Source {
    let mut data_before = DIGEST_ZERO;
    data_before[0] = F::from_u32(index);
    Source { job: segment(index).id(), data_before }
}

fn plan(segments: u32) -> Plan {
    Plan::aggregate(KEY, &(0..segments).map(source).collect::<Vec<_>>())
}

/// A "proof": the job that it is of, and bytes that are never the same twice.
fn fake_proof(job: JobId, random: u64) -> Vec<u8> {
    format!("proof of {job}, {random}").into_bytes()
}

fn put_segments(store: &dyn Store, segments: u32) {
    for index in 0..segments {
        let job = segment(index).id();
        let object = store.put_object(&fake_proof(job, 0)).expect("it can be put");
        store.put_result(job, &Outcome { object, milliseconds: 0, memory_bytes: 0 }).expect("it can be put");
    }
}

/// Counts what it does, and refuses inputs that are not proofs of the right jobs.
#[derive(Default)]
struct Fake {
    random: AtomicU64,
    done: Mutex<BTreeMap<JobId, u32>>,
    /// Ends its process, in so far as a test can, instead of doing one more than so many.
    dies_after: Option<usize>,
    takes: Duration,
    /// Results of this kind are no good the first so many times.
    spoils: Option<(Kind, u32)>,
}

impl Fake {
    fn count(&self) -> usize {
        self.done.lock().expect("it is not poisoned").values().map(|&count| count as usize).sum()
    }
}

impl Executor for Fake {
    fn execute(&self, job: &Job, inputs: &[Vec<u8>]) -> Result<Vec<u8>, Failure> {
        if self.dies_after == Some(self.count()) {
            panic!("killed");
        }
        thread::sleep(self.takes);
        assert_eq!(inputs.len(), job.inputs().len());
        for (index, (input, bytes)) in job.inputs().iter().zip(inputs).enumerate() {
            if !bytes.starts_with(format!("proof of {input}, ").as_bytes()) {
                return Err(Failure::Input { index, reason: "it is no proof of that".into() });
            }
        }
        let mut done = self.done.lock().expect("it is not poisoned");
        let times = done.entry(job.id()).or_default();
        *times += 1;
        if self.spoils.is_some_and(|(kind, spoiled)| kind == job.kind() && *times <= spoiled) {
            return Ok(b"spoiled".to_vec());
        }
        Ok(fake_proof(job.id(), self.random.fetch_add(1, Ordering::Relaxed)))
    }
}

fn run(plan: &Plan, queue: &(impl Store + Claims), executor: &Fake) -> Result<Vec<u8>, WorkError> {
    let owner = owner_name();
    let site = Site { store: queue, claims: queue, executor, owner: &owner, poll: POLL };
    work(plan, &site, &|| false, &mut |_| {})
}

fn is_last(plan: &Plan, bytes: &[u8]) -> bool {
    bytes.starts_with(format!("proof of {}, ", plan.last()).as_bytes())
}

fn count_of(plan: &Plan, kind: Kind) -> usize {
    plan.jobs().iter().filter(|job| job.kind() == kind).count()
}

fn directory(path: &Path, lease: Duration) -> Directory {
    Directory::open(path, lease).expect("it opens")
}

/// All files below a directory.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn a_plan_leads_every_segment_to_one_last_proof() {
    for segments in 1..=70_u32 {
        let plan = plan(segments);
        let leaves = (segments as usize).div_ceil(LEAF_ARITY);
        assert_eq!(count_of(&plan, Kind::Leaf), leaves);
        assert_eq!(count_of(&plan, Kind::First), leaves.div_ceil(NODE_ARITY));
        assert_eq!([count_of(&plan, Kind::Wrap), count_of(&plan, Kind::Last)], [1, 1]);
        assert!(count_of(&plan, Kind::Node) >= 1);
        // Each job but the last is the input of exactly one, which comes after it; and so is each segment.
        let mut unused: BTreeSet<JobId> = (0..segments).map(|index| segment(index).id()).collect();
        for (place, job) in plan.jobs().iter().enumerate() {
            assert!((1..=INPUTS_MAX).contains(&job.inputs().len()));
            for input in job.inputs() {
                assert!(unused.remove(input), "{segments} segments: it is there, and used once");
            }
            assert!(unused.insert(plan.id(place)), "{segments} segments: no job is there twice");
            assert_eq!(plan.id(place), job.id());
        }
        assert_eq!(unused.into_iter().collect::<Vec<_>>(), [plan.last()]);
        // The segments are in order.
        let inputs: Vec<JobId> = plan.jobs()[..leaves].iter().flat_map(|job| job.inputs().to_vec()).collect();
        assert_eq!(inputs, (0..segments).map(|index| segment(index).id()).collect::<Vec<_>>());
    }
    assert_eq!([1, 2, 4, 8, 16, 17].map(|segments| plan(segments).layers()), [5, 5, 5, 5, 6, 7]);
}

#[test]
fn jobs_have_one_encoding_and_the_ids_of_these_vectors() {
    let plan = plan(9);
    for job in plan.jobs().iter().chain([&segment(3)]) {
        let bytes = job.encode();
        assert_eq!(Job::decode(&bytes).as_ref(), Some(job));
        for cut in 0..bytes.len() {
            assert_eq!(Job::decode(&bytes[..cut]), None);
        }
        assert_eq!(Job::decode(&[bytes.as_slice(), &[0]].concat()), None);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let decoded = Job::decode(&changed);
                assert!(decoded.is_none_or(|other| other.encode() == changed && other.id() != job.id()));
            }
        }
    }
    // Results are found under these by other versions of the program, and by other programs.
    let ids = [segment(0).id(), plan.id(0), plan.last()].map(|id| id.to_string());
    assert_eq!(
        ids,
        [
            "eb54ca90637ba63b1ff0cc5ab473de04df2708bb7e1756a62e41110b4965a504",
            "27a0003d7dc423adda8213c5724c0b5a42d68906a7668c70a6e042b10158ba7d",
            "8113e276a4892c6c054f350af6ba0d1b86d7d469efd5be816f47ac2ce6264a98",
        ]
    );
    assert_eq!(JobId::from_hex(&ids[0]), Some(segment(0).id()));
    for wrong in ["", "0", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65), &"a".repeat(63), &"é".repeat(32)] {
        assert_eq!(JobId::from_hex(wrong), None, "{wrong}");
    }
}

#[test]
fn what_is_proven_over_complete_groups_serves_a_longer_chain() {
    let (shorter, longer) = (plan(8), plan(12));
    let ids: BTreeSet<JobId> = (0..longer.jobs().len()).map(|place| longer.id(place)).collect();
    for (place, job) in shorter.jobs().iter().enumerate() {
        let expected = job.kind() < Kind::Wrap;
        assert_eq!(ids.contains(&shorter.id(place)), expected, "{:?}", job.kind());
    }
    // For another key, or after other data, everything is another job.
    let sources: Vec<Source> = (0..8).map(source).collect();
    let other_key = Plan::aggregate(KeyId([8; 32]), &sources);
    let other_data: Vec<Source> = sources.iter().map(|one| Source { data_before: [F::TWO; 8], ..*one }).collect();
    for other in [other_key, Plan::aggregate(KEY, &other_data)] {
        assert!((0..other.jobs().len()).all(|place| !ids.contains(&other.id(place))));
    }
}

#[test]
fn every_job_is_done_once_and_none_again() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let (memory, shared) = (Memory::new(LONG), directory(temporary.path(), LONG));
    for segments in [1, 2, 3, 7, 20] {
        let plan = plan(segments);
        put_segments(&memory, segments);
        put_segments(&shared, segments);
        let once = Memory::new(LONG);
        put_segments(&once, segments);
        let fake = Fake::default();
        let bytes = run(&plan, &once, &fake).expect("nothing is missing");
        assert!(is_last(&plan, &bytes));
        assert_eq!(fake.count(), plan.jobs().len());
        assert_eq!(run(&plan, &once, &fake).expect("it is there"), bytes, "the same object");
        assert_eq!(fake.count(), plan.jobs().len(), "nothing is done again");
        // What shorter chains left serves longer ones.
        for queue in [&memory as &dyn Both, &shared] {
            let fake = Fake::default();
            assert!(is_last(&plan, &queue.run(&plan, &fake).expect("nothing is missing")));
            assert!(fake.done.lock().expect("it is not poisoned").values().all(|&count| count == 1));
        }
    }
    assert!(files(&temporary.path().join("claims")).is_empty() && files(&temporary.path().join("tmp")).is_empty());
}

/// A queue of either sort.
trait Both {
    fn run(&self, plan: &Plan, executor: &Fake) -> Result<Vec<u8>, WorkError>;
}

impl<Q: Store + Claims> Both for Q {
    fn run(&self, plan: &Plan, executor: &Fake) -> Result<Vec<u8>, WorkError> {
        run(plan, self, executor)
    }
}

#[test]
fn a_kill_after_any_job_loses_that_job_alone() {
    let plan = plan(7);
    for killed_after in 0..plan.jobs().len() {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let lease = Duration::from_millis(50);
        let first = directory(temporary.path(), lease);
        put_segments(&first, 7);
        let fake = Fake { dies_after: Some(killed_after), ..Fake::default() };
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&plan, &first, &fake).is_ok()));
        assert!(killed.is_err());
        assert_eq!(fake.count(), killed_after);
        assert_eq!(files(&temporary.path().join("claims")).len(), 1, "its claim is left");
        let rest = Fake::default();
        let bytes = run(&plan, &directory(temporary.path(), lease), &rest).expect("the claim is taken over");
        assert!(is_last(&plan, &bytes));
        assert_eq!(rest.count(), plan.jobs().len() - killed_after, "what was done stays done");
    }
}

#[test]
fn a_worker_that_is_stopped_leaves_no_claim() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let queue = directory(temporary.path(), LONG);
    let (plan, fake) = (plan(5), Fake::default());
    put_segments(&queue, 5);
    let site = Site { store: &queue, claims: &queue, executor: &fake, owner: "one", poll: POLL };
    for done in 1..plan.jobs().len() {
        let stopped = work(&plan, &site, &|| fake.count() == done, &mut |_| {});
        assert!(matches!(stopped, Err(WorkError::Stopped)));
        assert_eq!(fake.count(), done);
        assert!(files(&temporary.path().join("claims")).is_empty());
    }
}

#[test]
fn damaged_files_are_made_again() {
    const SEGMENTS: u32 = 5;
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let [honest, damaged] = ["honest", "damaged"].map(|name| temporary.path().join(name));
    let plan = plan(SEGMENTS);
    let queue = directory(&honest, LONG);
    put_segments(&queue, SEGMENTS);
    run(&plan, &queue, &Fake::default()).expect("nothing is missing");
    let of_segments: BTreeSet<PathBuf> = (0..SEGMENTS)
        .flat_map(|index| {
            let job = segment(index).id();
            let outcome = queue.result(job).expect("it can be read").expect("it is there");
            [queue.object_path(outcome.object), queue.result_path(job)]
        })
        .collect();
    for file in files(&honest) {
        let bytes = fs::read(&file).expect("it can be read");
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for damage in [None, Some(Vec::new()), Some(bytes[..bytes.len() / 2].to_vec()), Some(flipped)] {
            let queue = directory(&damaged, LONG);
            for file in files(&honest) {
                let to = damaged.join(file.strip_prefix(&honest).expect("it is inside"));
                fs::create_dir_all(to.parent().expect("a directory")).expect("it can be made");
                fs::copy(&file, to).expect("it can be copied");
            }
            let path = damaged.join(file.strip_prefix(&honest).expect("it is inside"));
            match &damage {
                None => fs::remove_file(&path).expect("it can be removed"),
                Some(bytes) => fs::write(&path, bytes).expect("it can be written"),
            }
            // The last proof is there, or can be made of what is there; then without it, so that more is looked at; then without anything but segments.
            for forgotten in [0, 1, plan.jobs().len()] {
                for place in (0..plan.jobs().len()).rev().take(forgotten) {
                    queue.forget(plan.id(place)).expect("it can be forgotten");
                }
                let fake = Fake::default();
                let ended = run(&plan, &queue, &fake);
                if forgotten == plan.jobs().len() && of_segments.contains(&file) {
                    let Err(WorkError::Missing { job }) = ended else { panic!("{}: {ended:?}", file.display()) };
                    assert!((0..SEGMENTS).any(|index| segment(index).id() == job));
                } else {
                    assert!(is_last(&plan, &ended.expect("what is needed can be made")), "{}", file.display());
                    assert!(fake.count() <= forgotten + 2, "{}: {} jobs", file.display(), fake.count());
                }
            }
            fs::remove_dir_all(&damaged).expect("it can be removed");
        }
    }
}

#[test]
fn a_result_that_does_not_serve_is_made_again_once() {
    let plan = plan(5);
    for kind in [Kind::Leaf, Kind::First, Kind::Node, Kind::Wrap] {
        let queue = Memory::new(LONG);
        put_segments(&queue, 5);
        let fake = Fake { spoils: Some((kind, 1)), ..Fake::default() };
        assert!(is_last(&plan, &run(&plan, &queue, &fake).expect("it is made again")));
        assert_eq!(fake.count(), plan.jobs().len() + count_of(&plan, kind));
        let queue = Memory::new(LONG);
        put_segments(&queue, 5);
        let fake = Fake { spoils: Some((kind, u32::MAX)), ..Fake::default() };
        let error = run(&plan, &queue, &fake).expect_err("it is not tried for ever");
        assert!(matches!(&error, WorkError::Failed { .. }), "{error}");
    }
    // A segment's is for others to make.
    let queue = Memory::new(LONG);
    put_segments(&queue, 5);
    let object = queue.put_object(b"no proof").expect("it can be put");
    let outcome = Outcome { object, milliseconds: 0, memory_bytes: 0 };
    queue.put_result(segment(2).id(), &outcome).expect("it can be put");
    match run(&plan, &queue, &Fake::default()) {
        Err(WorkError::Source { job, .. }) => assert_eq!(job, segment(2).id()),
        other => panic!("{other:?}"),
    }
    queue.forget(segment(2).id()).expect("it can be forgotten");
    match run(&plan, &queue, &Fake::default()) {
        Err(WorkError::Missing { job }) => assert_eq!(job, segment(2).id()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn workers_beside_each_other_share_the_jobs() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let plan = plan(13);
    put_segments(&directory(temporary.path(), LONG), 13);
    let fake = Fake { takes: Duration::from_millis(3), ..Fake::default() };
    let shares: Vec<usize> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    // As another process would: nothing but the directory is shared.
                    let queue = directory(temporary.path(), LONG);
                    let owner = owner_name();
                    let site = Site { store: &queue, claims: &queue, executor: &fake, owner: &owner, poll: POLL };
                    let mut done = 0;
                    let observe = &mut |event: Event<'_>| done += usize::from(matches!(event, Event::Finished(..)));
                    let bytes = work(&plan, &site, &|| false, observe).expect("nothing is missing");
                    assert!(is_last(&plan, &bytes));
                    done
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("it does not panic")).collect()
    });
    assert_eq!(fake.count(), plan.jobs().len(), "each is done once");
    assert_eq!(shares.iter().sum::<usize>(), plan.jobs().len());
    assert!(shares.iter().filter(|&&share| share > 0).count() > 1, "{shares:?}");
}

/// Leases so short that claims are taken over all the time: work is done twice, and nothing else happens.
#[test]
fn claims_that_are_lost_cost_work_and_nothing_else() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let plan = plan(9);
    put_segments(&directory(temporary.path(), LONG), 9);
    let fake = Fake { takes: Duration::from_millis(5), ..Fake::default() };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let queue = directory(temporary.path(), Duration::ZERO);
                assert!(is_last(&plan, &run(&plan, &queue, &fake).expect("nothing is missing")));
            });
        }
    });
    assert!(fake.count() >= plan.jobs().len());
    let again = Fake::default();
    run(&plan, &directory(temporary.path(), LONG), &again).expect("it is there");
    assert_eq!(again.count(), 0);
}

#[test]
fn a_claim_is_one_owners_until_its_lease_is_over() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let lease = Duration::from_millis(300);
    for queue in [&Memory::new(lease) as &dyn Claims, &directory(temporary.path(), lease)] {
        let job = plan(1).last();
        assert!(queue.claim(job, "one").expect("it can be claimed"));
        assert!(!queue.claim(job, "two").expect("it can be asked"));
        assert!(!queue.renew(job, "two").expect("it can be asked"));
        queue.release(job, "two").expect("nothing happens");
        for _ in 0..4 {
            thread::sleep(lease / 2);
            assert!(queue.renew(job, "one").expect("it can be renewed"));
            assert!(!queue.claim(job, "two").expect("it can be asked"), "it was renewed in time");
        }
        thread::sleep(lease * 2);
        assert!(queue.claim(job, "two").expect("it can be taken over"));
        assert!(!queue.renew(job, "one").expect("it can be asked"));
        queue.release(job, "one").expect("nothing happens");
        assert!(!queue.claim(job, "one").expect("it can be asked"));
        queue.release(job, "two").expect("it can be given back");
        assert!(queue.claim(job, "one").expect("it can be claimed"));
    }
    assert_ne!(owner_name(), owner_name());
}

/// A job that takes longer than a lease keeps its claim.
#[test]
fn a_claim_is_renewed_while_its_job_is_done() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let lease = Duration::from_millis(400);
    let plan = plan(1);
    put_segments(&directory(temporary.path(), lease), 1);
    let fake = Fake { takes: lease * 2, ..Fake::default() };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| run(&plan, &directory(temporary.path(), lease), &fake).expect("nothing is missing"));
        }
    });
    assert_eq!(fake.count(), plan.jobs().len(), "each is done once");
}

#[test]
fn objects_are_there_in_full_or_not_at_all() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
    let id = ObjectId::of(&bytes);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let queue = directory(temporary.path(), LONG);
                for _ in 0..5 {
                    assert_eq!(queue.put_object(&bytes).expect("it can be put"), id);
                    assert_eq!(queue.object(id).expect("it can be read"), Some(bytes.clone()));
                }
            });
        }
    });
    let queue = directory(temporary.path(), LONG);
    assert_eq!(queue.object(ObjectId::of(b"another")).expect("it can be read"), None);
    // What a kill in the middle of writing left, long ago and just now.
    let [old, new] = ["old", "new"].map(|name| temporary.path().join("tmp").join(name));
    for path in [&old, &new] {
        fs::write(path, "half").expect("it can be written");
    }
    let written = fs::metadata(&old).and_then(|metadata| metadata.modified()).expect("it is there");
    let long_ago = written - 2 * Duration::from_secs(60 * 60);
    fs::File::options().write(true).open(&old).and_then(|file| file.set_modified(long_ago)).expect("it can be set");
    let _queue = directory(temporary.path(), LONG);
    assert_eq!([old.exists(), new.exists()], [false, true]);
}
