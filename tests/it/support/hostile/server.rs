//! A database server that speaks just enough of PostgreSQL or MySQL for a figure of the operator's own.

use super::{Host, mysql, postgres};

/// Whose protocol it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Postgres,
    Mysql,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// Nobody listens any more.
    Refuses,
    /// Takes the connection and never says a word.
    Hangs,
    /// Takes the statement and never answers.
    HangsInAnswer,
    /// The greeting, a byte a second.
    DripsGreeting,
    /// The answer, a byte a second.
    DripsAnswer,
    /// Noise for a greeting.
    GarbageForGreeting,
    /// Noise for an answer.
    GarbageForAnswer,
    /// Agrees to TLS and sends noise.
    GarbageForTls,
    /// A well-framed greeting that ends too early.
    ShortGreeting,
    /// A well-framed row whose cell ends behind it.
    ShortRow,
    /// Closes in the middle of the answer.
    ClosesInAnswer,
    /// A greeting whose length is 2 GiB, and all of them.
    EndlessGreeting,
    /// Parameters of the session without end, each another; only PostgreSQL has them.
    EndlessParameters,
    /// An answer that is never begun for notices (PostgreSQL) or empty results (MySQL).
    EndlessNotices,
    /// One cell of a gibibyte.
    EndlessCell,
    /// 10 million rows.
    ManyRows,
    /// Two million cells of a byte each; only MySQL has such small ones.
    ManyCells,
    /// A result that announces 2^28 columns; only MySQL can.
    ManyColumns,
    /// A result that announces more columns than any memory has room for.
    CountlessColumns,
}

impl Ill {
    pub fn is_of(self, speech: Speech) -> bool {
        match self {
            Self::EndlessParameters => speech == Speech::Postgres,
            Self::ManyCells | Self::ManyColumns | Self::CountlessColumns => speech == Speech::Mysql,
            _ => true,
        }
    }

    /// The class of errors it is to be counted as.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Refuses
            | Self::GarbageForGreeting
            | Self::GarbageForAnswer
            | Self::GarbageForTls
            | Self::ShortGreeting
            | Self::ShortRow
            | Self::ClosesInAnswer => "unreachable",
            Self::Hangs | Self::HangsInAnswer | Self::DripsGreeting | Self::DripsAnswer => "timeout",
            Self::EndlessGreeting
            | Self::EndlessParameters
            | Self::EndlessNotices
            | Self::EndlessCell
            | Self::ManyRows
            | Self::ManyCells
            | Self::ManyColumns
            | Self::CountlessColumns => "oversized",
        }
    }
}

/// The server; it ends with the value.
pub struct HostileServer {
    pub speech: Speech,
    pub ill: Ill,
    pub host: Host,
}

impl HostileServer {
    /// A server that is well.
    pub fn start(speech: Speech, ill: Ill) -> Self {
        let host = Host::start(ill == Ill::Refuses, move |wire| {
            let ill = wire.is_ill.then_some(ill);
            match speech {
                Speech::Postgres => postgres::serve(wire, ill),
                Speech::Mysql => mysql::serve(wire, ill),
            }
        });
        Self { speech, ill, host }
    }

    pub fn source(&self) -> &'static str {
        match self.speech {
            Speech::Postgres => "postgres",
            Speech::Mysql => "mysql",
        }
    }

    pub fn url(&self) -> String {
        format!("{}://bridge@127.0.0.1:{}/linkit", self.source(), self.host.port)
    }
}
