/** The three stories by name, with their headlines; `state/stories.ts` plays them. */

export const STORY_NAMES = ['copies', 'scan', 'fault'] as const;
export type StoryName = (typeof STORY_NAMES)[number];

export interface StoryText {
  readonly title: string;
  /** One sentence for the card. */
  readonly lead: string;
  /** A headline and two or three sentences a step. */
  readonly steps: readonly { readonly title: string; readonly text: string }[];
}

export const STORIES: Readonly<Record<StoryName, StoryText>> = {
  copies: {
    title: 'Two copies, one secret',
    lead: 'A machine is saved once and resumed twice. Do the copies know that they are copies?',
    steps: [
      {
        title: 'A machine without CommonHV starts',
        text: 'Its guest seeds a random generator while it boots. Keys, tickets and identifiers will come from it.',
      },
      {
        title: 'It is saved once, and resumed twice',
        text: 'The generator lies in the saved memory, so both copies hold the same one. Nothing tells them: each value that one draws, the other draws too.',
      },
      {
        title: 'The same with CommonHV',
        text: 'The hypervisor renews the generation at every restore. Each copy sees a value other than the saved one, reads new random values, and seeds itself again.',
      },
      {
        title: 'Each copy acknowledges',
        text: 'A guest that has reseeded writes the generation back. The owner of the machine can hold traffic until that arrives.',
      },
    ],
  },
  scan: {
    title: '256 questions or 7',
    lead: 'How a guest finds out which hypervisor it runs under: by a search, or by a list.',
    steps: [
      {
        title: 'Without CommonHV a guest searches',
        text: 'It asks 40000000H, 40000100H and so on to 4000FF00H for a signature that it knows. Each question is a CPUID, and each CPUID an exit from the guest.',
      },
      {
        title: 'With CommonHV it reads a list',
        text: 'Three leaves from 4F000000H on name the draft, every interface with its place, and the registers.',
      },
      {
        title: 'Both on one timeline',
        text: 'The same guest now does the search as well. The timeline in the lab below shows both: the ramp is the search, the few marks before it the list.',
      },
    ],
  },
  fault: {
    title: 'A hypervisor with a fault',
    lead: 'It looks right to every guest. The conformance suite finds the sentence that it breaks.',
    steps: [
      {
        title: 'A hypervisor that keeps the generation',
        text: 'Discovery succeeds, the random values are good, the generation has a value. No guest can see the fault.',
      },
      {
        title: 'The suite asks, pauses, restores, resumes',
        text: 'Every rule of draft 3 is checked through the guest. One needs the machine to be restored, and then the value is the saved one.',
      },
      {
        title: 'The sentence that it breaks',
        text: 'Each rule quotes the draft. Copies of this machine would never learn that they are copies.',
      },
    ],
  },
};
