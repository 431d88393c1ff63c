// Something to try, in an order that a search by words might give.

export const EXAMPLE = {
  query: "Why do leaves change colour in autumn?",
  passages: [
    "Autumn colour tours leave the station every hour in October. Leaves are best seen from the upper deck, and tickets change price on Sundays.",
    "To rake leaves with less effort, wait for a dry day in autumn and pull them onto a sheet.",
    "A leaf's green comes from chlorophyll. As days shorten, the tree stops making it, and the yellow carotenoids that were there all summer come to light.",
    "The paint range Autumn Leaves comes in twelve colours, from russet to gold. Colours may change on a rough wall.",
    "Some maples turn red because cool nights trap sugar in the leaf, where it is made into anthocyanin, a red pigment.",
    "Evergreens keep their needles for several years; a coat of wax helps them through the frost.",
    "Before a leaf falls, a layer of cork grows between it and the twig, and nutrients are drawn back into the tree.",
    "Why do people change jobs in autumn? Surveys name the end of holidays and new budgets.",
  ],
};
