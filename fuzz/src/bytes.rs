//! Choices made of an input's bytes. A form of its own, so that the kept corpus means the same whatever any library does.

/// What is left of an input; past its end all bytes are 0.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number from 0 to less than `bound`, which is at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub fn uint(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// The next bytes, fewer at the end of the input.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A text of fewer than `bound` bytes; what is no UTF-8 is replaced.
    pub fn text(&mut self, bound: usize) -> String {
        let length = self.below(bound);
        String::from_utf8_lossy(self.take(length)).into_owned()
    }

    /// All that is left.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }
}
