/** Flags and identifiers of HTTP/2 frames (RFC 9113 6), under the names that tests use. */
export const END = 0x1;
export const END_HEADERS = 0x4;
/** SETTINGS_INITIAL_WINDOW_SIZE. */
export const INITIAL_WINDOW = 0x4;
export const MEBIBYTE = 1024 * 1024;
