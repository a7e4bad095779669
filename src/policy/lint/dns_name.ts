/** A DNS name as it is compared here: lower case, without the root's dot. */
export function dnsName(text: string): string {
  return text.trim().toLowerCase().replace(/\.$/, '');
}
