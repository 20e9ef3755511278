//! What can go wrong with a store, in words for the operator.

/// Why a store did not do what it was asked.
///
/// Texts are for the operator's log; they name files and causes, never names of people, ids or content.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened: says why and how to go on.
    #[error("{0}")]
    Open(String),
    /// It does not answer, or cannot write now (disk full, connection gone): trying again later may help.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What it holds is not what it should be.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}
