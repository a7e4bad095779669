/**
 * Names that a server may take for the same field. CGI and all that grew out of it (RFC 3875 4.1.18: WSGI,
 * Rack, PHP, FastCGI) hand fields on as variables, in which "-" is "_" and, in some, so is every other byte
 * that is no letter or digit: `X-Role`, `X_Role` and `X.Role` are one HTTP_X_ROLE.
 */

/** What is done with a field of a request whose name holds "_": Envoy's headers_with_underscores_action. */
export const UNDERSCORE_ACTIONS = ['allow', 'drop', 'refuse'] as const;

export type UnderscoreAction = (typeof UNDERSCORE_ACTIONS)[number];

/** True for other spellings of `of` only, not for `of` itself. Both are tokens; case does not matter. */
export function isAlias(name: string, of: string): boolean {
  if (name.length !== of.length) return false;
  let isOther = false;
  for (let i = 0; i < name.length; i++) {
    const code = lower(name.charCodeAt(i));
    const other = lower(of.charCodeAt(i));
    if (code === other) continue;
    if (isAlphanumeric(code) || isAlphanumeric(other)) return false;
    isOther = true;
  }
  return isOther;
}

const FIXED_FIELDS = ['host', 'content-length', 'transfer-encoding'];

/**
 * True for fields whose change would change what the message is or whom it goes to, in any spelling: a rule that
 * takes `transfer_encoding` away would take the coding away with it.
 */
export function isFixedField(name: string): boolean {
  return FIXED_FIELDS.some((fixed) => name.toLowerCase() === fixed || isAlias(name, fixed));
}

function lower(code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : code;
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39);
}
