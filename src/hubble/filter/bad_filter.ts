/** A value of a filter that cannot be understood; caught where filters are compiled. */
export class BadFilterError extends Error {}
