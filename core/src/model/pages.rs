//! Which page of the cache belongs to which rows.
//!
//! A page is free, or held by one row or more: rows that share a prefix hold the same pages, and forking a
//! row copies nothing. A row writes only to pages it holds alone; [`Pages::grow`] says which page
//! must be copied first.

use super::ModelError;
use crate::kernels::PAGE;

/// One row: its pages in order, and how many tokens they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub pages: Vec<u32>,
    pub tokens: usize,
}

/// The pages of one cache.
#[derive(Debug)]
pub(super) struct Pages {
    /// Rows that hold each page.
    holders: Vec<u32>,
    free: Vec<u32>,
}

/// A page whose content a row needs in a page of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copy {
    pub from: u32,
    pub to: u32,
}

impl Pages {
    /// `count` free pages.
    pub fn new(count: usize) -> Self {
        let mut pages = Self {
            holders: Vec::new(),
            free: Vec::new(),
        };
        pages.add(count);
        pages
    }

    /// `count` more of them.
    pub fn add(&mut self, count: usize) {
        let there = self.holders.len();
        self.holders.resize(there + count, 0);
        let fresh = (there..there + count).rev().map(|page| page as u32);
        self.free.splice(0..0, fresh);
    }

    /// All pages.
    pub fn count(&self) -> usize {
        self.holders.len()
    }

    /// Pages that no row holds.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Makes room for `tokens` more in `row`, which the caller writes then. Nothing changes where the
    /// pages don't suffice.
    pub fn grow(&mut self, row: &mut Row, tokens: usize) -> Result<Option<Copy>, ModelError> {
        let end = row.tokens + tokens;
        let fresh = end.div_ceil(PAGE).saturating_sub(row.pages.len());
        let last = row.pages.last().copied().filter(|page| {
            !row.tokens.is_multiple_of(PAGE) && tokens > 0 && self.holders[*page as usize] > 1
        });
        if fresh + usize::from(last.is_some()) > self.free.len() {
            return Err(ModelError::CacheFull(self.holders.len() * PAGE));
        }
        let mut copy = None;
        if let (Some(from), Some(to)) = (last, last.and_then(|_| self.take())) {
            self.holders[from as usize] -= 1;
            row.pages.pop();
            row.pages.push(to);
            copy = Some(Copy { from, to });
        }
        for _ in 0..fresh {
            row.pages.extend(self.take());
        }
        row.tokens = end;
        Ok(copy)
    }

    /// A row that begins with the first `tokens` of `row`, sharing their pages.
    pub fn fork(&mut self, row: &Row, tokens: usize) -> Row {
        let tokens = tokens.min(row.tokens);
        let pages = row.pages[..tokens.div_ceil(PAGE)].to_vec();
        for page in &pages {
            self.holders[*page as usize] += 1;
        }
        Row { pages, tokens }
    }

    /// Gives a row's pages up; those that no other row holds are free again.
    pub fn release(&mut self, row: Row) {
        for page in row.pages {
            let holders = &mut self.holders[page as usize];
            *holders -= 1;
            if *holders == 0 {
                self.free.push(page);
            }
        }
    }

    fn take(&mut self) -> Option<u32> {
        let page = self.free.pop()?;
        self.holders[page as usize] = 1;
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Action {
        Grow(usize, usize),
        Fork(usize, usize),
        Release(usize),
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            (0usize..8, 0usize..200).prop_map(|(row, tokens)| Action::Grow(row, tokens)),
            (0usize..8, 0usize..400).prop_map(|(row, tokens)| Action::Fork(row, tokens)),
            (0usize..8).prop_map(Action::Release),
        ]
    }

    proptest! {
        /// Whatever happens, every row reads back exactly what was written to it, no page is lost,
        /// and none is free and held at once.
        #[test]
        fn rows_keep_their_tokens(actions in prop::collection::vec(action(), 1..60)) {
            let mut pages = Pages::new(24);
            let mut memory = vec![[0u32; PAGE]; 24];
            let mut rows: Vec<(Row, Vec<u32>)> = vec![(Row::default(), Vec::new())];
            let mut next = 1;
            for action in actions {
                match action {
                    Action::Grow(at, tokens) => {
                        let at = at % rows.len();
                        let (row, wrote) = &mut rows[at];
                        let before = (row.clone(), pages.free());
                        match pages.grow(row, tokens) {
                            Ok(copy) => {
                                if let Some(Copy { from, to }) = copy {
                                    memory[to as usize] = memory[from as usize];
                                }
                                for token in wrote.len()..row.tokens {
                                    let page = row.pages[token / PAGE] as usize;
                                    memory[page][token % PAGE] = next;
                                    wrote.push(next);
                                    next += 1;
                                }
                            }
                            Err(_) => prop_assert_eq!(before, (row.clone(), pages.free())),
                        }
                    }
                    Action::Fork(at, tokens) => {
                        let (row, wrote) = &rows[at % rows.len()];
                        let fork = pages.fork(row, tokens);
                        let wrote = wrote[..fork.tokens].to_vec();
                        rows.push((fork, wrote));
                    }
                    Action::Release(at) if rows.len() > 1 => {
                        let at = at % rows.len();
                        pages.release(rows.swap_remove(at).0);
                    }
                    Action::Release(_) => {}
                }
                for (row, wrote) in &rows {
                    let read: Vec<u32> = (0..row.tokens)
                        .map(|token| memory[row.pages[token / PAGE] as usize][token % PAGE])
                        .collect();
                    prop_assert_eq!(&read, wrote);
                }
                let held: std::collections::BTreeSet<u32> =
                    rows.iter().flat_map(|(row, _)| row.pages.iter().copied()).collect();
                prop_assert_eq!(held.len() + pages.free(), 24);
                prop_assert!(pages.free.iter().all(|page| !held.contains(page)));
            }
        }
    }

    #[test]
    fn a_fork_shares_until_it_writes() {
        let mut pages = Pages::new(4);
        let mut row = Row::default();
        assert_eq!(
            pages.grow(&mut row, PAGE + 1).map_err(|e| e.to_string()),
            Ok(None)
        );
        let mut fork = pages.fork(&row, PAGE + 1);
        assert_eq!((fork.pages.clone(), pages.free()), (row.pages.clone(), 2));
        let copy = pages.grow(&mut fork, 1).ok().flatten();
        assert_eq!(copy.map(|copy| copy.from), row.pages.last().copied());
        assert_eq!(fork.pages[0], row.pages[0]);
        assert_ne!(fork.pages[1], row.pages[1]);
        pages.release(row);
        pages.release(fork);
        assert_eq!(pages.free(), 4);
    }
}
