//! Memory that is given back to the system once it is not needed any more.

use std::ffi::{c_int, c_void};

const PAGE_BYTES: usize = 4096;

/// Has the heap keep little of what was freed: for a process that is small between short times of much work. To be called
/// before that work begins.
pub fn keep_little() {
    // Blocks from this size on are mapped apart, and unmapped when they are freed; as much may stay free at the heap's end.
    const BYTES: c_int = 32 << 10;
    // What the heap grows by beyond what is needed.
    const SPARE_BYTES: c_int = 8 << 10;
    // SAFETY: they set numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, BYTES);
        libc::mallopt(libc::M_TOP_PAD, SPARE_BYTES);
        // Small blocks that were freed join each other at once, so that what is free can go.
        libc::mallopt(libc::M_MXFAST, 0);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back free memory of the heap, the stack that was used deeper down, and what is in memory of the programs' files and
/// is not changed: whatever of it is used again comes back from the system's cache. To be called when a start is over, whose
/// code and data are not needed again, and while no memory is locked.
pub fn give_back() {
    // SAFETY: it gives back what nobody owns.
    unsafe { libc::malloc_trim(0) };
    give_back_stack();
    // SAFETY: the callback has the demanded form, uses what it is given within the call alone, and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(let_go), std::ptr::null_mut()) };
}

/// Empties the pages of the main thread's stack below those in use. Does nothing on another thread.
#[inline(never)]
fn give_back_stack() {
    // What the calls from here on and a signal's handler may use; far more than the red zone.
    const KEPT_BYTES: usize = 4 << 10;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let stack = maps.lines().find(|line| line.ends_with("[stack]"));
    let range = stack.and_then(|line| line.split_once(' ')?.0.split_once('-'));
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    let Some((Some(begin), Some(end))) = range.map(|(begin, end)| (number(begin), number(end)))
    else {
        return;
    };
    let here = 0_u8;
    let here = std::hint::black_box(&raw const here).addr();
    let last = here.saturating_sub(KEPT_BYTES) / PAGE_BYTES * PAGE_BYTES;
    if (begin..end).contains(&here) && last > begin {
        // SAFETY: the range is mapped and lies in this thread's stack, below all frames, which grow downwards to here: it
        // holds only what calls that have returned left there.
        unsafe { libc::madvise(begin as *mut c_void, last - begin, libc::MADV_DONTNEED) };
    }
}

/// Unmaps the pages of an object's read-only segments.
extern "C" fn let_go(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the loader gives a valid description, whose headers it keeps.
    let (base, headers) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        let headers = match object.dlpi_phdr.is_null() {
            true => &[][..],
            false => std::slice::from_raw_parts(object.dlpi_phdr, count),
        };
        (object.dlpi_addr as usize, headers)
    };
    for header in headers {
        // What may be written to may have been changed, by relocations to begin with: it is not in the file.
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let begin = (base + header.p_vaddr as usize).next_multiple_of(PAGE_BYTES);
        let end = base + (header.p_vaddr + header.p_memsz) as usize;
        if let Some(bytes) = (end / PAGE_BYTES * PAGE_BYTES).checked_sub(begin) {
            // SAFETY: these pages are mapped from a file and never written to: reading one again reads the same. It fails
            // for what the kernel maps itself, which stays.
            unsafe { libc::madvise(begin as *mut c_void, bytes, libc::MADV_DONTNEED) };
        }
    }
    0
}

#[cfg(test)]
mod tests {
    /// Kilobytes of this line of the process's status.
    fn status(line: &str) -> u64 {
        let text = std::fs::read_to_string("/proc/self/status").expect("a status");
        let found = text.lines().find_map(|one| one.strip_prefix(line));
        let number = found.and_then(|rest| rest.split_whitespace().next());
        number.expect("the line").parse().expect("a number")
    }

    #[test]
    fn free_memory_and_code_go_and_come_back() {
        let small: Vec<Vec<u8>> = (0..40_000).map(|at| vec![at as u8; 200]).collect();
        let last = vec![1_u8; 300];
        let (anonymous, file) = (status("RssAnon:"), status("RssFile:"));
        drop(small);
        super::give_back();
        assert!(status("RssAnon:") + 4_000 < anonymous);
        assert!(status("RssFile:") < file);
        assert_eq!(last.iter().map(|one| u32::from(*one)).sum::<u32>(), 300);
        assert_eq!("code still runs".to_uppercase(), "CODE STILL RUNS");
    }
}
