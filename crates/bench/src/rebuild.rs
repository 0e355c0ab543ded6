//! The state from published data alone: what a watcher does with every batch.

use std::{path::Path, time::Instant};

use holdfast_exchange::Engine;
use holdfast_protocol::{
    Batch,
    cells::batch_digest,
    publication::{Progress, WORD_BYTES, commitment, read_words, words},
};

use crate::{
    engine::{Recorded, record_flow},
    proving::Batches,
};

/// Words that a blob holds.
const WORDS_A_BLOB: usize = 4096;

pub fn run(input: Option<&Path>, batch_size: usize, accounts: u32) {
    let Recorded { genesis, instructions, name, .. } = record_flow(input, accounts);
    let mut source = Batches::new(Engine::new(&genesis).expect("a valid genesis"), accounts);
    let batches: Vec<_> = instructions.chunks(batch_size).map(|chunk| source.next(chunk)).collect();
    let published: Vec<_> = batches.iter().map(|(batch, _)| words(batch)).collect();
    let (commands, count) = (instructions.len(), published.iter().map(Vec::len).sum::<usize>());
    println!("rebuilding {name}: {commands} commands of {accounts} accounts, batches of {batch_size}, on one core");

    let mut engine = Engine::new(&genesis).expect("a valid genesis");
    let (mut read, mut bound, mut executed) = (0.0, 0.0, 0.0);
    for ((batch, root), words) in batches.iter().zip(&published) {
        let clock = Instant::now();
        let (instructions, outcomes) = read_words(words).expect("they are a batch's");
        read += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let rebuilt = Batch { header: batch.header, instructions, outcomes, seals: Vec::new() };
        let progress = Progress::end_of_words(batch_digest(&rebuilt), &commitment(words), words);
        bound += clock.elapsed().as_secs_f64();
        assert_eq!(progress, Progress::end_in_calldata(batch));
        let clock = Instant::now();
        let told = |_: &Engine, at: usize, outcome| assert_eq!(outcome, rebuilt.outcomes[at]);
        let got = engine.replay(&rebuilt.instructions, told).expect("they are of this state");
        executed += clock.elapsed().as_secs_f64();
        assert_eq!(got, *root);
    }
    let seconds = read + bound + executed;
    println!(
        "  {:.0} commands/s: reading {read:.2} s, digests and the polynomial {bound:.2} s, executing and roots {executed:.2} s",
        commands as f64 / seconds
    );
    println!(
        "  {count} words of {WORD_BYTES} bytes: {:.1} bytes a command; {} blobs",
        (count * WORD_BYTES) as f64 / commands as f64,
        published.iter().map(|words| words.len().div_ceil(WORDS_A_BLOB)).sum::<usize>()
    );
}
