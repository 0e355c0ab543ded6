//! The sparse binary Merkle tree that holds the state.
//!
//! # What is hashed
//!
//! The tree has a fixed depth of [`DEPTH`] = 28, so 2²⁸ raw leaves. A raw leaf is eight cells of state and is itself the
//! digest of level 0: it is not hashed by itself. The node `i` of level `l + 1` is
//! `compress(node(l, 2i), node(l, 2i + 1))`, with [`compress`] of [`crate::poseidon2`]; the root is the one node of
//! level 28. A leaf never written is all zero, and an untouched subtree has the default digest of its
//! level, computed once, so the tree costs memory only where something was written.
//!
//! # Why raw leaves are unambiguous
//!
//! A tree that hashes leaves and nodes alike is usually in danger of one being shown as the other. Here the number of
//! levels is part of the definition and every reader folds exactly 28 of them (or 28 − h above a subtree of height h), so
//! what is opened at level 0 is a raw leaf and nothing else. What the eight cells of a leaf mean follows from its index
//! alone, because the regions of the state are fixed. No tag or length is hashed because each (level, index) has one
//! meaning. The sixteen cells under a level-1 node are raw data, which users choose in part; that is sound because the
//! compression is collision-resistant on *any* input. Truncating the permutation would not be (see [`crate::poseidon2`]).
//!
//! # How it is stored
//!
//! A trie of pages. A page holds an aligned subtree of four levels without its top: 16 + 8 + 4 + 2 digests, and, unless
//! its 16 are raw leaves, a link to the page below each of the 16. Seven bands of pages make 28 levels. Pages are shared
//! and copied on write, so that cloning a tree costs nothing, and a clone costs one copy of each page that either writes
//! to later.
//!
//! An update walks down once, band by band, to collect the touched pages, and comes back up hashing the touched nodes of
//! a level, over all pages, side by side. Each touched node is hashed once. Many pages are divided among the threads of
//! the rayon pool in which the update is called; the result does not depend on the division.

use std::sync::{Arc, LazyLock};

use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSliceMut;

use crate::field::{DIGEST_BYTES, DIGEST_ZERO, DecodeError, Digest, digest_decode, digest_encode};
use crate::poseidon2::{compress, compress_many};

/// Levels above the raw leaves.
pub const DEPTH: u32 = 28;

/// The index of the last raw leaf.
pub const LEAF_INDEX_MAX: u32 = (1 << DEPTH) - 1;

/// The height of the largest subtree that one proof opens: it bounds what decoding a proof may allocate (8 KiB).
pub const SUBTREE_HEIGHT_MAX: u32 = 8;

/// A sparse Merkle tree. Cloning it is a cheap snapshot.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Digest,
    top: Arc<Page>,
}

/// One hashed node of an update: what it read and wrote, before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchedNode {
    /// The level of the node whose children are `left` and `right`, in `1..=DEPTH`.
    pub level: u32,
    /// The index of the node in its level.
    pub index: u32,
    /// Whether the left child is among the leaves set, or is itself a touched node.
    pub left_touched: bool,
    /// The same of the right child. At least one of the two is touched.
    pub right_touched: bool,
    pub old_left: Digest,
    pub old_right: Digest,
    /// `compress(old_left, old_right)`.
    pub old_out: Digest,
    pub new_left: Digest,
    pub new_right: Digest,
    /// `compress(new_left, new_right)`.
    pub new_out: Digest,
}

/// One raw leaf and the siblings on its way to the root, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    index: u32,
    leaf: Digest,
    siblings: [Digest; DEPTH as usize],
}

/// All raw leaves of one aligned subtree and the siblings on its way to the root, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtreeProof {
    height: u32,
    index: u32,
    leaves: Vec<Digest>,
    siblings: Vec<Digest>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// The tree whose leaves are all zero.
    pub fn new() -> Self {
        Self { root: DIGESTS_DEFAULT[DEPTH as usize], top: Arc::clone(&PAGES_DEFAULT[BAND_TOP]) }
    }

    pub fn root(&self) -> Digest {
        self.root
    }

    /// The node `index` of `level`: a raw leaf where the level is 0, the root where it is [`DEPTH`].
    ///
    /// # Panics
    /// Where there is no such node.
    pub fn node(&self, level: u32, index: u32) -> Digest {
        assert!(level <= DEPTH);
        assert!(index <= LEAF_INDEX_MAX >> level);
        if level == DEPTH {
            return self.root;
        }
        let band = (level / PAGE_HEIGHT) as usize;
        let mut page = &self.top;
        for band_parent in (band + 1..BANDS).rev() {
            // A node of the parent's lowest level is the top of the child page.
            let child = (index >> (band_level(band_parent) - level)) as usize % PAGE_LEAVES;
            match &page.children[child] {
                Some(child) => page = child,
                None => return DIGESTS_DEFAULT[level as usize],
            }
        }
        let row = (level % PAGE_HEIGHT) as usize;
        page.nodes[ROW_START[row] + index as usize % ROW_LENGTH[row]]
    }

    /// Sets raw leaves, recomputes every touched ancestor, and returns the new root.
    ///
    /// A leaf set to the value it has is touched as well.
    ///
    /// # Panics
    /// Where the indices are not strictly ascending, or one is above [`LEAF_INDEX_MAX`]. The tree is then unchanged.
    pub fn update(&mut self, leaves: &[(u32, Digest)]) -> Digest {
        assert_leaves(leaves);
        if leaves.is_empty() {
            return self.root;
        }

        let mut visits = self.descend(leaves);
        for band in 0..BANDS {
            let (below, above) = visits.split_at_mut(band);
            let band_visits = &mut above[0];
            match below.last_mut() {
                None => write_leaves(band_visits, leaves),
                Some(children) => attach(band_visits, std::mem::take(children)),
            }
            if band_visits.len() > PAGES_PER_TASK {
                band_visits.par_chunks_mut(PAGES_PER_TASK).for_each(rehash);
            } else {
                rehash(band_visits);
            }
        }

        let top = visits.swap_remove(BAND_TOP).swap_remove(0);
        self.top = top.page;
        self.root = top.out;
        self.root
    }

    /// Does what [`Tree::update`] does and lists every touched node, lower levels first, ascending within a level.
    ///
    /// The old values are read from a snapshot, so this is several times slower than `update`.
    ///
    /// # Panics
    /// As [`Tree::update`].
    pub fn update_traced(&mut self, leaves: &[(u32, Digest)]) -> Vec<TouchedNode> {
        let before = self.clone();
        let root = self.update(leaves);

        let mut touched_nodes = Vec::new();
        let mut touched: Vec<u32> = leaves.iter().map(|leaf| leaf.0).collect();
        for level in 1..=DEPTH {
            for siblings in touched.chunk_by(|a, b| a >> 1 == b >> 1) {
                let index = siblings[0] >> 1;
                let (left, right) = (2 * index, 2 * index + 1);
                touched_nodes.push(TouchedNode {
                    level,
                    index,
                    left_touched: siblings.contains(&left),
                    right_touched: siblings.contains(&right),
                    old_left: before.node(level - 1, left),
                    old_right: before.node(level - 1, right),
                    old_out: before.node(level, index),
                    new_left: self.node(level - 1, left),
                    new_right: self.node(level - 1, right),
                    new_out: self.node(level, index),
                });
            }
            for index in &mut touched {
                *index >>= 1;
            }
            touched.dedup();
        }
        debug_assert!(touched_nodes.last().is_none_or(|node| node.new_out == root));
        touched_nodes
    }

    /// Opens one raw leaf.
    ///
    /// # Panics
    /// Where `index` is above [`LEAF_INDEX_MAX`].
    pub fn prove(&self, index: u32) -> InclusionProof {
        let leaf = self.node(0, index);
        let siblings = std::array::from_fn(|level| self.node(level as u32, (index >> level) ^ 1));
        InclusionProof { index, leaf, siblings }
    }

    /// Opens all 2^`height` raw leaves below the node `index` of level `height`: the leaves from `index << height` on.
    ///
    /// # Panics
    /// Where `height` is above [`SUBTREE_HEIGHT_MAX`], or there is no such node.
    pub fn prove_subtree(&self, index: u32, height: u32) -> SubtreeProof {
        assert!(height <= SUBTREE_HEIGHT_MAX);
        assert!(index <= LEAF_INDEX_MAX >> height);
        let first = index << height;
        let leaves = (first..first + (1 << height)).map(|leaf| self.node(0, leaf)).collect();
        let siblings = (height..DEPTH).map(|level| self.node(level, (index >> (level - height)) ^ 1)).collect();
        SubtreeProof { height, index, leaves, siblings }
    }

    /// Takes every page that `leaves` touch out of the tree: `visits[band]`, in ascending order.
    fn descend(&mut self, leaves: &[(u32, Digest)]) -> Vec<Vec<Visit>> {
        // The top page stands in for the one taken, and is replaced when the update is done.
        let top = std::mem::replace(&mut self.top, Arc::clone(&PAGES_DEFAULT[BAND_TOP]));
        let mut visits: Vec<Vec<Visit>> = (0..BANDS).map(|_| Vec::new()).collect();
        visits[BAND_TOP].push(Visit::new(top, leaves.len()));
        for band in (1..BANDS).rev() {
            let (below, above) = visits.split_at_mut(band);
            let mut leaves_rest = leaves;
            for visit in &mut above[0] {
                let (leaves, rest) = leaves_rest.split_at(visit.leaves);
                leaves_rest = rest;
                detach(visit, band, leaves, &mut below[band - 1]);
            }
        }
        visits
    }
}

impl InclusionProof {
    /// Bytes in an encoded proof: index, leaf, 28 siblings.
    pub const BYTES: usize = 4 + DIGEST_BYTES * (1 + DEPTH as usize);

    pub fn index(&self) -> u32 {
        self.index
    }

    pub fn leaf(&self) -> &Digest {
        &self.leaf
    }

    /// The siblings of the path, the lowest first: `siblings()[l]` is a node of level `l`.
    pub fn siblings(&self) -> &[Digest; DEPTH as usize] {
        &self.siblings
    }

    /// The root of every tree in which this proof holds.
    pub fn root(&self) -> Digest {
        fold(self.leaf, self.index, &self.siblings)
    }

    pub fn verify(&self, root: &Digest) -> bool {
        self.root() == *root
    }

    /// The index as a little-endian `u32`, the leaf, the siblings.
    pub fn encode(&self) -> Vec<u8> {
        let Self { index, leaf, siblings } = self;
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(index.to_le_bytes());
        bytes.extend(digest_encode(leaf));
        bytes.extend(siblings.iter().flat_map(digest_encode));
        bytes
    }

    /// Reads what [`InclusionProof::encode`] writes, and nothing else.
    ///
    /// # Errors
    /// On any other length, an index that is no leaf's, or a cell that is not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (index, digests) = match bytes.split_first_chunk() {
            Some((index, digests)) if bytes.len() == Self::BYTES => (index, digests.as_chunks().0),
            _ => return Err(DecodeError::Length { expected: Self::BYTES, got: bytes.len() }),
        };
        let index = index_decode(index, LEAF_INDEX_MAX)?;
        let leaf = digest_decode(&digests[0])?;
        let mut siblings = [DIGEST_ZERO; DEPTH as usize];
        for (sibling, bytes) in siblings.iter_mut().zip(&digests[1..]) {
            *sibling = digest_decode(bytes)?;
        }
        Ok(Self { index, leaf, siblings })
    }
}

impl SubtreeProof {
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The index of the subtree's top among the nodes of level [`SubtreeProof::height`].
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The 2^height raw leaves.
    pub fn leaves(&self) -> &[Digest] {
        &self.leaves
    }

    /// The siblings of the path, the lowest first: `siblings()[l]` is a node of level `height + l`.
    pub fn siblings(&self) -> &[Digest] {
        &self.siblings
    }

    /// The root of every tree in which this proof holds.
    pub fn root(&self) -> Digest {
        let mut nodes = self.leaves.clone();
        while nodes.len() > 1 {
            let (pairs, _) = nodes.as_chunks::<2>();
            let mut parents = vec![DIGEST_ZERO; pairs.len()];
            compress_many(pairs, &mut parents);
            nodes = parents;
        }
        fold(nodes[0], self.index, &self.siblings)
    }

    pub fn verify(&self, root: &Digest) -> bool {
        self.root() == *root
    }

    /// The height as a byte, the index as a little-endian `u32`, the leaves, the siblings.
    pub fn encode(&self) -> Vec<u8> {
        let Self { height, index, leaves, siblings } = self;
        let mut bytes = Vec::with_capacity(Self::bytes(*height));
        bytes.push(*height as u8);
        bytes.extend(index.to_le_bytes());
        bytes.extend(leaves.iter().chain(siblings).flat_map(digest_encode));
        bytes
    }

    /// Reads what [`SubtreeProof::encode`] writes, and nothing else.
    ///
    /// # Errors
    /// On a height above [`SUBTREE_HEIGHT_MAX`], any length other than that height's, an index that is no node's, or a
    /// cell that is not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let height = u32::from(*bytes.first().ok_or(DecodeError::Length { expected: Self::bytes(0), got: 0 })?);
        if height > SUBTREE_HEIGHT_MAX {
            return Err(DecodeError::Height { max: SUBTREE_HEIGHT_MAX, got: height });
        }
        let (index, digests) = match bytes[1..].split_first_chunk() {
            Some((index, digests)) if bytes.len() == Self::bytes(height) => (index, digests.as_chunks().0),
            _ => return Err(DecodeError::Length { expected: Self::bytes(height), got: bytes.len() }),
        };
        let index = index_decode(index, LEAF_INDEX_MAX >> height)?;
        let (leaves, siblings) = digests.split_at(1 << height);
        let leaves = leaves.iter().map(digest_decode).collect::<Result<_, _>>()?;
        let siblings = siblings.iter().map(digest_decode).collect::<Result<_, _>>()?;
        Ok(Self { height, index, leaves, siblings })
    }

    /// Bytes in an encoded proof: height, index, leaves, siblings.
    const fn bytes(height: u32) -> usize {
        1 + 4 + DIGEST_BYTES * ((1 << height) + (DEPTH - height) as usize)
    }
}

fn fold(node: Digest, index: u32, siblings: &[Digest]) -> Digest {
    siblings.iter().enumerate().fold(node, |node, (level, sibling)| match (index >> level) & 1 {
        0 => compress(&node, sibling),
        _ => compress(sibling, &node),
    })
}

fn index_decode(bytes: &[u8; 4], max: u32) -> Result<u32, DecodeError> {
    let index = u32::from_le_bytes(*bytes);
    if index <= max { Ok(index) } else { Err(DecodeError::Index { max, got: index }) }
}

fn assert_leaves(leaves: &[(u32, Digest)]) {
    assert!(leaves.is_sorted_by(|a, b| a.0 < b.0));
    assert!(leaves.last().is_none_or(|leaf| leaf.0 <= LEAF_INDEX_MAX));
}

/// Levels in a page, not counting its top, which the page above holds.
const PAGE_HEIGHT: u32 = 4;

/// Nodes in the lowest level of a page.
const PAGE_LEAVES: usize = 1 << PAGE_HEIGHT;

/// Nodes in each level of a page, and where each level starts in [`Page::nodes`].
const ROW_LENGTH: [usize; PAGE_HEIGHT as usize] = [16, 8, 4, 2];
const ROW_START: [usize; PAGE_HEIGHT as usize] = [0, 16, 24, 28];
const PAGE_NODES: usize = 30;

/// Bands of pages: the pages of band b hold the levels from 4b to 4b + 3.
const BANDS: usize = (DEPTH / PAGE_HEIGHT) as usize;
const BAND_TOP: usize = BANDS - 1;
const _: () = assert!(BANDS as u32 * PAGE_HEIGHT == DEPTH);

/// Pages that one task hashes: enough to fill vectors where each page has one touched node in a level, few enough that
/// the pages (about 1 KiB each) stay in the cache for the four levels.
const PAGES_PER_TASK: usize = 128;

const fn band_level(band: usize) -> u32 {
    band as u32 * PAGE_HEIGHT
}

#[derive(Clone, Debug)]
struct Page {
    nodes: [Digest; PAGE_NODES],
    /// The page below each of the first 16 nodes, `None` where all its leaves are default. Empty in band 0.
    children: Box<[Option<Arc<Page>>]>,
}

/// A touched page, taken out of its parent.
struct Visit {
    page: Arc<Page>,
    /// How many of the leaves to set lie below the page.
    leaves: usize,
    /// Bit i says that node i of the page's lowest level is touched.
    touched: u16,
    /// The digest of the page's top, once it is hashed.
    out: Digest,
}

/// The default digest of each level, from 0 to 28.
static DIGESTS_DEFAULT: LazyLock<[Digest; DEPTH as usize + 1]> = LazyLock::new(|| {
    let mut digests = [DIGEST_ZERO; DEPTH as usize + 1];
    for level in 1..digests.len() {
        digests[level] = compress(&digests[level - 1], &digests[level - 1]);
    }
    digests
});

/// The page of each band whose leaves are all default.
static PAGES_DEFAULT: LazyLock<[Arc<Page>; BANDS]> = LazyLock::new(|| {
    std::array::from_fn(|band| {
        let mut nodes = [DIGEST_ZERO; PAGE_NODES];
        for row in 0..ROW_START.len() {
            nodes[ROW_START[row]..][..ROW_LENGTH[row]].fill(DIGESTS_DEFAULT[band_level(band) as usize + row]);
        }
        let children = if band == 0 { 0 } else { PAGE_LEAVES };
        Arc::new(Page { nodes, children: vec![None; children].into_boxed_slice() })
    })
});

impl Visit {
    fn new(page: Arc<Page>, leaves: usize) -> Self {
        Self { page, leaves, touched: 0, out: DIGEST_ZERO }
    }
}

/// Takes the pages below `visit` that `leaves` touch out of it, and appends them to `visits_below`.
fn detach(visit: &mut Visit, band: usize, leaves: &[(u32, Digest)], visits_below: &mut Vec<Visit>) {
    let page = Arc::make_mut(&mut visit.page);
    for leaves in leaves.chunk_by(|a, b| a.0 >> band_level(band) == b.0 >> band_level(band)) {
        let child = (leaves[0].0 >> band_level(band)) as usize % PAGE_LEAVES;
        let page_below = page.children[child].take().unwrap_or_else(|| Arc::clone(&PAGES_DEFAULT[band - 1]));
        visits_below.push(Visit::new(page_below, leaves.len()));
        visit.touched |= 1 << child;
    }
}

/// Puts the hashed pages of the band below back where [`detach`] took them from.
fn attach(visits: &mut [Visit], visits_below: Vec<Visit>) {
    let mut visits_below = visits_below.into_iter();
    for visit in visits {
        let page = Arc::make_mut(&mut visit.page);
        for child in bits(visit.touched) {
            let below = visits_below.next().expect("one visit below for each touched child");
            page.nodes[child] = below.out;
            page.children[child] = Some(below.page);
        }
    }
    assert!(visits_below.next().is_none());
}

fn write_leaves(visits: &mut [Visit], leaves: &[(u32, Digest)]) {
    let mut leaves_rest = leaves;
    for visit in visits {
        let (leaves, rest) = leaves_rest.split_at(visit.leaves);
        leaves_rest = rest;
        let page = Arc::make_mut(&mut visit.page);
        for (index, leaf) in leaves {
            let slot = *index as usize % PAGE_LEAVES;
            page.nodes[slot] = *leaf;
            visit.touched |= 1 << slot;
        }
    }
    assert!(leaves_rest.is_empty());
}

/// Hashes the touched nodes of each page up to its top, a level of all the pages at a time.
fn rehash(visits: &mut [Visit]) {
    struct Open<'a> {
        page: &'a mut Page,
        touched: u16,
        out: &'a mut Digest,
    }

    let mut opens: Vec<Open<'_>> = visits
        .iter_mut()
        .map(|Visit { page, leaves: _, touched, out }| Open { page: Arc::make_mut(page), touched: *touched, out })
        .collect();
    let mut pairs: Vec<[Digest; 2]> = Vec::new();
    let mut parents: Vec<Digest> = Vec::new();

    for (row, start) in ROW_START.into_iter().enumerate() {
        pairs.clear();
        for open in &mut opens {
            open.touched = halved(open.touched);
            let (nodes, _) = open.page.nodes[start..].as_chunks::<2>();
            pairs.extend(bits(open.touched).map(|parent| nodes[parent]));
        }

        parents.resize(pairs.len(), DIGEST_ZERO);
        compress_many(&pairs, &mut parents);

        let mut parents = parents.iter();
        for open in &mut opens {
            for parent in bits(open.touched) {
                let digest = *parents.next().expect("one digest for each touched parent");
                match ROW_START.get(row + 1) {
                    Some(row_above) => open.page.nodes[row_above + parent] = digest,
                    None => *open.out = digest,
                }
            }
        }
    }
}

/// Which parents are touched, where bit i of `touched` says that child i is.
fn halved(touched: u16) -> u16 {
    (0..8).fold(0, |parents, parent| parents | u16::from(touched >> (2 * parent) & 3 != 0) << parent)
}

/// The positions of the bits that are set, ascending.
fn bits(mut mask: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let position = mask.trailing_zeros() as usize;
        mask &= mask.checked_sub(1)?;
        Some(position)
    })
}
