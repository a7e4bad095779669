/** The CRDs that the chart ships; what an API server makes of them: test/kube/real/crds.test.ts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { crdFiles } from '../../../src/control/decode/cnp/print_crds.ts';

const FOLDER = new URL('../../../deploy/helm/sallyport/files/crds', import.meta.url).pathname;
/** `kubectl apply` notes the whole object in an annotation, of which this is the bound for all. */
const ANNOTATION_BYTES_MAX = 262_144;

describe('the CRDs of the chart', () => {
  it.each([...crdFiles()])(
    '%s is what `node src/control/decode/cnp/print_crds.ts` writes',
    (name, text) => {
      expect(readFileSync(join(FOLDER, name), 'utf8')).toBe(text);
    },
  );

  it('are all that is there, besides the list for kustomize', () => {
    const names = readdirSync(FOLDER).filter((name) => name !== 'kustomization.yaml');
    expect(names.toSorted()).toEqual([...crdFiles().keys()].toSorted());
  });

  it('are small enough for kubectl apply', () => {
    for (const text of crdFiles().values()) {
      for (const document of parseAllDocuments(text)) {
        expect(JSON.stringify(document.toJS()).length).toBeLessThan(ANNOTATION_BYTES_MAX);
      }
    }
  });
});
