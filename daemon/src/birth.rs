//! How a child gets its setup and its descriptors: over the channel at descriptor 3, once.
//!
//! First frame: the encoded setup with the count of descriptors; then frames with the descriptors.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};
use sys::channel::{Channel, MAX_DESCRIPTORS, Sender};

#[derive(Serialize, Deserialize)]
struct Birth {
    setup: Vec<u8>,
    descriptors: u32,
}

/// Sends a child what it needs.
pub async fn send(
    sender: &Sender,
    setup: Vec<u8>,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let count = u32::try_from(descriptors.len()).map_err(io::Error::other)?;
    let birth = Birth {
        setup,
        descriptors: count,
    };
    sender
        .send(
            &protocol::wire::encode(&birth).map_err(io::Error::other)?,
            &[],
        )
        .await?;
    for some in descriptors.chunks(MAX_DESCRIPTORS) {
        sender.send(&[], some).await?;
    }
    Ok(())
}

/// Receives it in the child, with a short-lived runtime of its own: the role starts the one it wants later.
pub fn receive(descriptor: OwnedFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut channel = Channel::new(descriptor)?;
        let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the supervisor is gone");
        let (frame, _) = channel.receiver.receive().await?.ok_or_else(gone)?;
        let birth: Birth = protocol::wire::decode(&frame).map_err(io::Error::other)?;
        let mut descriptors = Vec::new();
        while descriptors.len() < birth.descriptors as usize {
            let (_, some) = channel.receiver.receive().await?.ok_or_else(gone)?;
            descriptors.extend(some);
        }
        Ok((birth.setup, descriptors))
    })
}
