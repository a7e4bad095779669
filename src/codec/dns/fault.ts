/** What is wrong with a DNS message, as one word of a fixed vocabulary: never a part of what the peer sent. */
export const DNS_FAULTS = {
  'short-header': 'fewer bytes than the header has',
  'not-a-question': 'an answer where a question is awaited, or the other way round',
  'unknown-opcode': 'an operation other than QUERY',
  'unknown-class': 'a class other than IN, CH, HS and ANY',
  'question-count': 'not exactly one question',
  'question-cut': 'the message ends within its question',
  'question-name':
    'a name that breaks the rules: too long, compressed, or a reserved kind of label',
  'question-type': 'a type that nobody can ask for',
  'record-kind': 'a record that has no place in a question',
  'record-cut': 'the message ends within a record, or says that it has more',
  'record-name': 'an owner that is no name, or a pointer that does not lead backwards',
  'edns-form': 'an OPT record that stands twice, has an owner, or options that do not fit',
  'trailing-bytes': 'bytes behind the last record',
  'other-question': 'an answer to another question than was asked',
  'other-letters': 'an answer to what was asked in other letters than it was asked in',
} as const;

export type DnsFault = keyof typeof DNS_FAULTS;
