//! The libraries that the dynamic linker has loaded into this process, and the names in them.
//!
//! What a library needs from others, and offers to them, stands in the string table of its dynamic
//! symbols, which is in memory for as long as the library is (System V gABI, "Dynamic Section").
//!
//! One of the few places with `unsafe`: the linker hands out pointers. They are looked at only while
//! it calls back, which it does under its lock: nothing is unloaded meanwhile. What is called back
//! must not be Python: a thread that imports a module waits for that lock, and has the
//! interpreter's.

use std::ffi::{CStr, c_int, c_void};

use libc::dl_phdr_info;

/// Tags of the dynamic section (elf.h).
const DT_NULL: usize = 0;
const DT_STRTAB: usize = 5;
const DT_STRSZ: usize = 10;

/// How many libraries have ever been loaded: whoever remembers the number knows of new ones.
pub fn loads() -> u64 {
    let mut loads = 0;
    any(&mut |library| {
        loads = library.dlpi_adds;
        true // each says the same
    });
    loads
}

/// Whether a loaded library has `text` among the names of its dynamic symbols. Those whose file name
/// begins with one of `except` are not asked.
pub fn any_names(text: &[u8], except: &[Vec<u8>]) -> bool {
    any(&mut |library| {
        let path = path(library);
        let file = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        !except.iter().any(|start| file.starts_with(start)) && contains(strings(library), text)
    })
}

fn contains(table: &[u8], text: &[u8]) -> bool {
    table.windows(text.len().max(1)).any(|window| window.first() == text.first() && window == text)
}

/// Shows `look` every library, until it returns true; whether it did.
#[allow(unsafe_code, reason = "the linker calls back with a pointer")]
fn any(look: &mut dyn FnMut(&dl_phdr_info) -> bool) -> bool {
    unsafe extern "C" fn visit(info: *mut dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: `data` is the address of `look`, which outlives the call below; the linker keeps
        // `info` whole until this returns.
        let (look, info) =
            unsafe { (&mut *data.cast::<&mut dyn FnMut(&dl_phdr_info) -> bool>(), &*info) };
        c_int::from(look(info))
    }
    let mut look = look;
    // SAFETY: `visit` has the type that is asked for, and `look` that which it expects.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut look).cast()) != 0 }
}

/// The path of a library; empty for the program itself.
#[allow(unsafe_code, reason = "the linker hands out a pointer")]
fn path(library: &dl_phdr_info) -> &[u8] {
    if library.dlpi_name.is_null() {
        return &[];
    }
    // SAFETY: a string that ends in a zero byte and lives as long as the library.
    unsafe { CStr::from_ptr(library.dlpi_name) }.to_bytes()
}

/// The string table of a library's dynamic symbols; empty where it has none.
#[allow(unsafe_code, reason = "the linker hands out pointers")]
fn strings(library: &dl_phdr_info) -> &[u8] {
    if library.dlpi_phdr.is_null() {
        return &[];
    }
    // SAFETY: the program headers of a loaded library, and their number.
    let headers =
        unsafe { std::slice::from_raw_parts(library.dlpi_phdr, usize::from(library.dlpi_phnum)) };
    let Some(dynamic) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) else {
        return &[];
    };
    #[allow(clippy::cast_possible_truncation, reason = "addresses of this process")]
    let (base, offset, size) =
        (library.dlpi_addr as usize, dynamic.p_vaddr as usize, dynamic.p_memsz as usize);
    // SAFETY: the dynamic section is in memory, at that place and of that size: pairs of words.
    let pairs: &[[usize; 2]] = unsafe {
        std::slice::from_raw_parts(
            std::ptr::with_exposed_provenance(base.wrapping_add(offset)),
            size / size_of::<[usize; 2]>(),
        )
    };
    let value = |wanted| {
        let mut pairs = pairs.iter().take_while(|[tag, _]| *tag != DT_NULL);
        pairs.find(|[tag, _]| *tag == wanted).map(|[_, value]| *value)
    };
    let (Some(start), Some(size)) = (value(DT_STRTAB), value(DT_STRSZ)) else {
        return &[];
    };
    // glibc has made an address of the offset; others, and the kernel's own library, leave it.
    let start = if start < base { base.wrapping_add(start) } else { start };
    // SAFETY: the string table is in memory too: the linker itself looks names up in it.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_program_needs_is_found() {
        assert!(loads() > 1);
        assert!(any_names(b"dl_iterate_phdr", &[]));
        assert!(!any_names(b"a name that is no symbol anywhere", &[]));
    }

    #[test]
    fn libraries_that_are_excepted_are_not_asked() {
        assert!(!any_names(b"dl_iterate_phdr", &[Vec::new()]));
        assert!(any_names(b"dl_iterate_phdr", &[b"no library is called so".to_vec()]));
    }

    #[test]
    fn text_at_both_ends_of_a_table_is_found() {
        assert!(contains(b"first\0last\0", b"first"));
        assert!(contains(b"first\0last\0", b"last\0"));
        assert!(!contains(b"first", b"first\0"));
        assert!(!contains(b"", b"first"));
    }
}
