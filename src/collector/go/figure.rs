//! The figures of this source.

use crate::catalog::FigureId;

/// The figures of the section, in the document's order.
pub(super) const FIGURES: [FigureId; 7] = [
    FigureId::RuntimeGoroutines,
    FigureId::RuntimeCpus,
    FigureId::RuntimeHeapAllocated,
    FigureId::RuntimeMemoryAllocated,
    FigureId::RuntimeMemorySys,
    FigureId::RuntimeGcCycles,
    FigureId::RuntimeGcLastPause,
];

/// A figure's name as the documented JSON has it.
pub(super) fn word(figure: FigureId) -> &'static str {
    figure.figure().json.first().map_or("", |field| field.name)
}
