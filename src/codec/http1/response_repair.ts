/**
 * Response heads of sloppy upstreams, as every client reads them, written as they ought to have been: what the
 * scanner let pass in a response only. Nothing of the original form reaches the client, so nobody can read
 * it in another way than it was read here.
 */
import { isBlank, latin1, trimBlanks } from './syntax.ts';

/**
 * Lines that end with LF alone (RFC 9112 2.2), folded values (5.2), blanks before a colon (5.1), several blanks
 * before the status: `raw` has no other faults.
 */
export function repairedHead(raw: Buffer): Buffer {
  const [statusLine = '', ...lines] = linesOf(latin1(raw, 0, raw.length));
  const fields: string[] = [];
  for (const line of lines) {
    if (isBlank(line.charCodeAt(0))) {
      fields.push(`${fields.pop() ?? ''} ${trimBlanks(line)}`);
    } else {
      const colon = line.indexOf(':');
      fields.push(`${trimBlanks(line.slice(0, colon))}: ${trimBlanks(line.slice(colon + 1))}`);
    }
  }
  return Buffer.from(
    `${[repairedStatusLine(statusLine), ...fields].join('\r\n')}\r\n\r\n`,
    'latin1',
  );
}

/** Without the empty one that ends the head. */
function linesOf(text: string): string[] {
  const lines: string[] = [];
  for (let at = 0; ; ) {
    const end = text.indexOf('\n', at);
    if (end === -1) return lines;
    const line = text.slice(at, text.charAt(end - 1) === '\r' ? end - 1 : end);
    if (line === '') return lines;
    lines.push(line);
    at = end + 1;
  }
}

function repairedStatusLine(line: string): string {
  const space = line.indexOf(' ');
  let status = space;
  while (line.charAt(status) === ' ') status++;
  return `${line.slice(0, space)} ${line.slice(status)}`;
}
