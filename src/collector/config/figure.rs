//! A figure of the operator's own, as it is configured.

use std::sync::Arc;

use serde::Deserialize;

use crate::catalog::{CustomFigure, Kind};
use crate::collector::sql::Query;

/// A figure of the operator's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureConfig {
    /// Its name, which follows `linkit.custom.`.
    pub name: String,
    /// The query whose rows are its series.
    pub query: String,
    /// The column of the value; default `value`.
    #[serde(default = "value_column")]
    pub value: String,
    /// The columns of the labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether it goes up and down, or only rises.
    #[serde(default)]
    pub kind: FigureKind,
    /// Its unit in UCUM.
    #[serde(default)]
    pub unit: String,
    /// What it means.
    pub help: String,
}

/// How a figure of the operator's own behaves in time.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureKind {
    /// Goes up and down.
    #[default]
    Gauge,
    /// Only rises, but for resets.
    Counter,
}

fn value_column() -> String {
    "value".to_owned()
}

impl FigureConfig {
    /// The figure with its query.
    pub(super) fn query(&self) -> Result<Query, String> {
        let kind = match self.kind {
            FigureKind::Gauge => Kind::Gauge,
            FigureKind::Counter => Kind::Counter,
        };
        let figure = CustomFigure::new(&self.name, kind, &self.unit, &self.help, self.labels.clone())?;
        if self.query.trim().is_empty() {
            return Err(format!("figure {}: query is empty; write the SELECT whose rows are its series", self.name));
        }
        Ok(Query { figure: Arc::new(figure), sql: self.query.clone(), value_column: self.value.clone() })
    }
}
