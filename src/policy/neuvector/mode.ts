/** The mode of a NeuVector group. */
import type { Note, Placed } from './note.ts';
import type { NeuvectorRule } from './schema.ts';
import type { Mode } from '../ruleset.ts';

interface ImportedMode {
  readonly mode: Mode;
  readonly notes: Note[];
}

/** Only groups of a service (`nv.…`) have a mode in NeuVector; others take that of each container's service. */
export function modeOf({ value, at }: Placed<NeuvectorRule>, wider: boolean): ImportedMode {
  const { target, process_profile: profile } = value.spec;
  const { name } = target.selector;
  const notes: Note[] = [];
  const note = (position: Note['position'], text: string) => notes.push({ position, text });
  const ofNetwork = target.policymode === 'N/A' ? undefined : target.policymode || undefined;
  const given = profile?.mode ?? ofNetwork;
  const position =
    given === profile?.mode && profile
      ? at(profile, 'mode')
      : at(target, given ? 'policymode' : 'selector');
  if (profile?.mode && ofNetwork && profile.mode !== ofNetwork) {
    note(
      at(target, 'policymode'),
      `'policymode: ${ofNetwork}' is about the network: files take process_profile.mode`,
    );
  }
  let mode = (given?.toLowerCase() ?? 'monitor') as Mode;
  if (name === 'nodes') {
    mode = 'monitor';
    note(position, 'NeuVector takes no file rules for nodes and never blocks there: monitor');
  } else if (!name.startsWith('nv.')) {
    const text = given
      ? `NeuVector takes a mode for groups of a service (nv.…) only; '${given}' is taken as it reads`
      : `'${name}' has no mode in NeuVector, where each container's service decides: monitor until you say`;
    note(position, text);
  } else if (given === undefined) {
    note(position, "the mode is not in the file, but the cluster's default: monitor until you say");
  }
  if (wider && mode === 'protect') {
    mode = 'monitor';
    note(position, 'Protect is lowered to monitor, as more are members than in NeuVector');
  }
  return { mode, notes };
}
