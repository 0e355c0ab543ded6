//! Minimising a failing stream.

/// A sub-sequence of `items` that still fails, and from which no single item can be left out.
///
/// Tries to leave out ever smaller runs of items, halving their length when nothing more can go. `fails(items)` must
/// hold, and must answer the same for the same items.
pub fn shrink<T: Clone>(items: &[T], fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    let mut run = kept.len().div_ceil(2).max(1);
    loop {
        let before = kept.len();
        let mut start = 0;
        while start < kept.len() {
            let end = (start + run).min(kept.len());
            let without = [&kept[..start], &kept[end..]].concat();
            if fails(&without) {
                kept = without;
            } else {
                start = end;
            }
        }
        if kept.len() == before && run == 1 {
            return kept;
        }
        run = (run / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_items_that_matter_remain() {
        let items: Vec<u32> = (0..1000).collect();
        let fails = |items: &[u32]| items.contains(&17) && items.contains(&18) && items.contains(&903);
        assert_eq!(shrink(&items, fails), [17, 18, 903]);
    }

    #[test]
    fn a_failure_without_items_shrinks_to_nothing() {
        assert_eq!(shrink(&[1, 2, 3], |_| true), []);
    }
}
