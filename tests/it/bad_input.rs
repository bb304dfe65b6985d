//! Bad input: what an operator mistypes and what a stranger sends costs one clear answer, and nothing else.
//!
//! All of it is drawn from seeds, so that each run has the same. `fuzz` looks for what nobody thought of; here stand the
//! mistakes that happen, with what is promised for each.

mod configs;
mod requests;
